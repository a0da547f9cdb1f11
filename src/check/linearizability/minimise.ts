import type { Budget } from "./budget.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";
import { type Entry, isRead } from "./timeline.ts";
import { withoutUnseen } from "./unseen.ts";

/** Bounds of the work: of one attempt and of all, in steps and entries looked at. */
const attemptAtMost = 100_000;
const workAtMost = 3_000_000;
const memoryAtMost = 200_000;

/**
 * A small sub-history that is still not linearizable, and that is meaningful: whenever the whole is linearizable, so is it. Leaving
 * out any operation would not do: without the write, a read of its value is wrong for another reason than in the whole history. So
 * what is left out is only: all that began after some return (what is pending there becomes optional), reads, and
 * all operations about a value (`Model.concerns`).
 */
export function minimise(model: Model, violated: readonly Entry[]): readonly Entry[] {
  const minimiser = new Minimiser(model);
  let entries = minimiser.truncate(violated);
  const unclear = (entry: Entry): boolean => model.concerns?.(entry.operation) === undefined;
  const reads = entries.filter((entry) => isRead(model, entry.operation));
  entries = minimiser.leaveOut(
    entries,
    reads.filter(unclear).map((entry) => [entry]),
  );
  entries = minimiser.leaveOut(entries, groupsOf(model, entries));
  return minimiser.leaveOut(
    entries,
    entries.filter((entry) => isRead(model, entry.operation)).map((entry) => [entry]),
  );
}

class Minimiser {
  readonly #model: Model;
  #work = workAtMost;

  constructor(model: Model) {
    this.#model = model;
  }

  /** Up to the first return at which no legal order is left. Longer ones have none either, so it can be found by bisection. */
  truncate(entries: readonly Entry[]): readonly Entry[] {
    const returns = entries.flatMap(({ operation, optional }) => (optional ? [] : [operation.returned]));
    returns.sort((a, b) => a - b);
    let shortest = entries;
    let [low, high] = [0, returns.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const prefix = this.#until(entries, returns[middle] as number);
      if (this.#isViolated(prefix)) {
        shortest = prefix;
        high = middle;
      } else low = middle + 1;
    }
    return shortest;
  }

  /** Leaves out as many of the groups as it can: halves first, then smaller and smaller parts (Zeller: delta debugging). */
  leaveOut(entries: readonly Entry[], groups: readonly (readonly Entry[])[]): readonly Entry[] {
    let kept = entries;
    let left = groups;
    for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let start = 0; start < left.length; ) {
        const gone = new Set(left.slice(start, start + size).flat());
        const rest = kept.filter((entry) => !gone.has(entry));
        if (this.#isViolated(rest)) {
          kept = rest;
          left = left.toSpliced(start, size);
        } else start += size;
      }
    }
    return kept;
  }

  #until(entries: readonly Entry[], end: number): Entry[] {
    return entries.flatMap((entry): Entry[] => {
      const { operation, optional } = entry;
      if (operation.called > end) return [];
      if (optional || operation.returned <= end) return [entry];
      return isRead(this.#model, operation) ? [] : [{ operation, optional: true }];
    });
  }

  /** Whether it surely is; an attempt that would take too long counts as failed. */
  #isViolated(entries: readonly Entry[]): boolean {
    const steps = Math.min(attemptAtMost, this.#work - entries.length);
    if (steps <= 0) return false;
    const budget: Budget = { steps, memory: memoryAtMost };
    const outcome = new Search(this.#model, withoutUnseen(this.#model, entries), budget).run(steps);
    this.#work -= entries.length + steps - budget.steps;
    return outcome === "violated";
  }
}

/** The operations about each value; values that one operation is about belong together. None if one is about too much. */
function groupsOf(model: Model, entries: readonly Entry[]): Entry[][] {
  const groups = new Map<string | number, Entry[]>();
  for (const entry of entries) {
    const values = model.concerns?.(entry.operation);
    if (values === undefined) return [];
    const joined: Entry[] = [entry];
    const names = new Set(values);
    for (const group of new Set(values.map((value) => groups.get(value) ?? []))) {
      joined.push(...group);
      for (const other of group) for (const value of model.concerns?.(other.operation) ?? []) names.add(value);
    }
    for (const name of names) groups.set(name, joined);
  }
  return [...new Set(groups.values())];
}
