import type { Operation } from "../../history.ts";

type Key = string | number;
type Micro = readonly [what: string, key: Key, value: unknown];
type State = ReadonlyMap<Key, readonly unknown[]>;

/** The state after a transaction, or `undefined` if its reads are not those of running it in the given state. */
function apply(operation: Operation, state: State): Map<Key, readonly unknown[]> | undefined {
  const after = new Map(state);
  const isAnswered = operation.outcome === "ok";
  for (const [what, key, value] of (isAnswered ? operation.output : operation.input) as Micro[]) {
    const now = after.get(key) ?? [];
    if (what === "append") after.set(key, [...now, value]);
    else if (what === "w") after.set(key, [value]);
    else if (isAnswered && !isSame(value, now)) return undefined;
  }
  return after;
}

function isSame(read: unknown, now: readonly unknown[]): boolean {
  if (!Array.isArray(read)) return (read ?? undefined) === now[0];
  return read.length === now.length && read.every((value, i) => value === now[i]);
}

export type Order = "none" | "client" | "time";

function mustPrecede(a: Operation, b: Operation, order: Order): boolean {
  if (order === "none" || a.returned >= b.called) return false;
  return order === "time" || a.client === b.client;
}

/** Tries all orders of those that took place and any of those that may have. */
export function isSerializableByForce(history: readonly Operation[], order: Order): boolean {
  const place = (left: readonly Operation[], state: State): boolean => {
    if (left.every(({ outcome }) => outcome === "unknown")) return true;
    return left.some((operation) => {
      const others = left.filter((other) => other !== operation);
      if (others.some((other) => mustPrecede(other, operation, order))) return false;
      const after = apply(operation, state);
      return after !== undefined && place(others, after);
    });
  };
  return place(
    history.filter(({ outcome }) => outcome !== "failed"),
    new Map(),
  );
}

interface Started {
  readonly operation: Operation;
  readonly after: State;
  readonly writes: readonly Key[];
  /** Keys that others committed since its start. */
  readonly changed: ReadonlySet<Key>;
}

/**
 * Tries all orders of starts and commits: a transaction sees the state at its start and its own writes; it cannot
 * commit if another changed a key that it writes since. Time orders a commit before a start.
 */
export function isSnapshotIsolatedByForce(history: readonly Operation[], order: Order): boolean {
  const place = (waiting: readonly Operation[], running: readonly Started[], state: State): boolean => {
    if (waiting.every(isUnknown) && running.every(({ operation }) => isUnknown(operation))) return true;
    for (const one of running) {
      if (one.writes.some((key) => one.changed.has(key))) continue;
      const next = new Map(state);
      for (const key of one.writes) next.set(key, one.after.get(key) ?? []);
      const others = running
        .filter((other) => other !== one)
        .map((other) => ({ ...other, changed: new Set([...other.changed, ...one.writes]) }));
      if (place(waiting, others, next)) return true;
    }
    return waiting.some((operation) => {
      const others = waiting.filter((other) => other !== operation);
      const open = [...others, ...running.map((each) => each.operation)];
      if (open.some((other) => mustPrecede(other, operation, order))) return false;
      const after = apply(operation, state);
      if (!after) return false;
      const writes = (operation.input as Micro[]).filter(([what]) => what !== "r").map(([, key]) => key);
      return place(others, [...running, { operation, after, writes, changed: new Set<Key>() }], state);
    });
  };
  const all = history.filter(({ outcome }) => outcome !== "failed");
  return place(all, [], new Map());
}

function isUnknown({ outcome }: Operation): boolean {
  return outcome === "unknown";
}
