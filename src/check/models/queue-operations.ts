import type { Operation } from "../history.ts";
import type { Movement } from "../linearizability/model.ts";
import { isAnswered, knownName, malformed } from "./arguments.ts";
import { canonical } from "./canonical.ts";

/** @throws InvalidArgumentError it is no operation of a queue */
export function validateQueueOperation(operation: Operation): void {
  knownName(operation, ["enqueue", "dequeue"]);
  if (operation.name === "enqueue" && (operation.input === undefined || operation.input === null))
    throw malformed(operation, "input", "an item, which is not null");
}

/** What a dequeue gave: an item, "" if there was none, or `undefined` if its answer is not known. */
export function dequeued(operation: Operation): string | undefined {
  if (!isAnswered(operation)) return undefined;
  return operation.output === undefined || operation.output === null ? "" : canonical(operation.output);
}

/** What it puts in or takes out, as far as that is known. */
export function movementOf(operation: Operation): Movement | undefined {
  const [item] = itemsOf(operation);
  if (item !== undefined) return { kind: operation.name === "enqueue" ? "put" : "take", item };
  return isAnswered(operation) ? { kind: "empty" } : undefined;
}

/**
 * The item that the operation is about. Without an item, a queue is what it would have been without it. (A dequeue of
 * unknown outcome that took the item is then one that did not happen.)
 */
export function itemsOf(operation: Operation): string[] {
  const item = operation.name === "enqueue" ? canonical(operation.input) : dequeued(operation);
  return item ? [item] : [];
}
