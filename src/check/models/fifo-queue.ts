import type { Model } from "../linearizability/model.ts";
import { byKey } from "./arguments.ts";
import { canonical } from "./canonical.ts";
import { dequeued, itemsOf, movementOf, validateQueueOperation } from "./queue-operations.ts";

/**
 * A queue, first in, first out, at first empty. With keys: a queue for each. A state costs as much as the queue is long.
 *
 * | name      | input               | output                                     |
 * | --------- | ------------------- | ------------------------------------------ |
 * | `enqueue` | an item, not `null` | anything                                   |
 * | `dequeue` |                     | the item, or `null` if the queue was empty |
 */
export const fifoQueue: Model<readonly string[]> = {
  name: "fifo-queue",
  initial: [],
  validate: validateQueueOperation,
  partition: byKey,
  step(state, operation) {
    if (operation.name === "enqueue") return [...state, canonical(operation.input)];
    const item = dequeued(operation);
    const [first] = state;
    if (first === undefined) return item === "" ? state : undefined;
    return item === undefined || item === first ? state.slice(1) : undefined;
  },
  key: (state) => state.join(),
  isRead: (operation) => operation.name === "dequeue" && dequeued(operation) === "",
  movement: movementOf,
  concerns: itemsOf,
  showState: (state) => `[${state.join(", ")}]`,
};
