import type { Model } from "../linearizability/model.ts";
import { byKey } from "./arguments.ts";
import { canonical } from "./canonical.ts";
import { dequeued, itemsOf, validateQueueOperation } from "./queue-operations.ts";

/** Its items, sorted. */
type Bag = readonly string[];

/**
 * A queue without an order: a dequeue takes any of its items. At first empty. With keys: a queue for each.
 *
 * | name      | input               | output                                     |
 * | --------- | ------------------- | ------------------------------------------ |
 * | `enqueue` | an item, not `null` | anything                                   |
 * | `dequeue` |                     | an item, or `null` if the queue was empty  |
 *
 * Which item a dequeue of unknown outcome took is not known, so a state is the set of all contents that are possible, in the order
 * of their keys. It costs as much as these together.
 */
export const unorderedQueue: Model<readonly Bag[]> = {
  name: "unordered-queue",
  initial: [[]],
  validate: validateQueueOperation,
  partition: byKey,
  step(state, operation) {
    if (operation.name === "enqueue") return unique(state.map((bag) => [...bag, canonical(operation.input)].sort()));
    const item = dequeued(operation);
    const next = state.flatMap((bag) => {
      if (item === "") return bag.length === 0 ? [bag] : [];
      if (item !== undefined) return bag.includes(item) ? [without(bag, bag.indexOf(item))] : [];
      return bag.map((_, at) => without(bag, at));
    });
    return next.length === 0 ? undefined : unique(next);
  },
  key: (state) => state.map((bag) => bag.join()).join("\n"),
  concerns: itemsOf,
  showState: (state) => state.map((bag) => `{${bag.join(", ")}}`).join(" or "),
};

function without(bag: Bag, at: number): Bag {
  return bag.toSpliced(at, 1);
}

function unique(bags: readonly Bag[]): readonly Bag[] {
  const only = bags[0];
  if (bags.length === 1 && only) return [only];
  return [...new Map(bags.map((bag) => [bag.join(), bag]))]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, bag]) => bag);
}
