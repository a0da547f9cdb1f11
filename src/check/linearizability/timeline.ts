import { invalidArgument } from "../../core/index.ts";
import type { Operation } from "../history.ts";
import type { Model } from "./model.ts";

/** An operation as the search sees it. */
export interface Entry {
  readonly operation: Operation;
  /** May be left out: whether it took effect is not known. */
  readonly optional: boolean;
}

/** The entries of a part of a history, in the order of their calls, and the order of calls and returns in numbers. */
export interface Timeline {
  readonly entries: readonly Entry[];
  /** Positions of calls and returns, by entry; an optional one never returns. */
  readonly called: Float64Array;
  readonly returned: Float64Array;
  /** Indexes of the entries that return, in the order of their returns. */
  readonly returns: Int32Array;
  /** By place in `returns`: how many entries were called before that return. */
  readonly callsBefore: Int32Array;
  /** By entry. Invariant: entries that are pending at the same time have different slots. */
  readonly slot: Int32Array;
  readonly slots: number;
}

/**
 * The entries of operations: those that failed are dropped, unless the model learns something from them; of unknown outcome are
 * optional. A read of unknown outcome says nothing.
 * @throws InvalidArgumentError an operation that returned before it was called, or that the model does not know
 */
export function entriesOf(model: Model, operations: readonly Operation[]): Entry[] {
  const entries: Entry[] = [];
  for (const given of operations) {
    model.validate?.(given);
    const { id, called, returned, outcome } = given;
    const operation = outcome === "unknown" && given.output !== undefined ? { ...given, output: undefined } : given;
    if (!Number.isFinite(called)) throw invalidArgument(`operation ${id}, called`, called, "a position");
    if (outcome === "unknown") {
      if (!isRead(model, operation)) entries.push({ operation, optional: true });
      continue;
    }
    if (outcome === "failed" && !model.observes?.(operation)) continue;
    if (!(Number.isFinite(returned) && returned > called))
      throw invalidArgument(`operation ${id}, returned`, returned, `a position after that of its call, ${called}`);
    entries.push({ operation, optional: false });
  }
  return entries;
}

export function isRead(model: Model, operation: Operation): boolean {
  if (model.isRead?.(operation)) return true;
  const transition = model.transition?.(operation);
  return transition?.from !== undefined && transition.from === transition.to;
}

/** Whether the operations are the same request, so that it makes no difference which of two pending ones took effect. */
export function requestOf({ name, key, input }: Operation): string {
  return JSON.stringify([name, key ?? null, input ?? null]);
}

export function createTimeline(unordered: readonly Entry[]): Timeline {
  const entries = unordered.toSorted((a, b) => a.operation.called - b.operation.called);
  const count = entries.length;
  const called = Float64Array.from(entries, ({ operation }) => operation.called);
  const returned = Float64Array.from(entries, ({ operation, optional }) => (optional ? Infinity : operation.returned));
  const returns = Int32Array.from(entries.keys())
    .filter((index) => returned[index] !== Infinity)
    .sort((a, b) => (returned[a] as number) - (returned[b] as number));
  const callsBefore = new Int32Array(returns.length);
  const slot = new Int32Array(count);
  const free: number[] = [];
  let slots = 0;
  let next = 0;
  const call = (): void => {
    slot[next++] = free.pop() ?? slots++;
  };
  for (const [place, index] of returns.entries()) {
    // One instant for a call and a return: the two operations overlap, "ended before it began" is strict.
    while (next < count && (called[next] as number) <= (returned[index] as number)) call();
    callsBefore[place] = next;
    free.push(slot[index] as number);
  }
  while (next < count) call();
  return { entries, called, returned, returns, callsBefore, slot, slots };
}
