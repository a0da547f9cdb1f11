/**
 * The takes of one key in the last `length`: times and costs in turn, oldest first, in one flat array. Invariant: times do not decrease.
 * Pure: used on the clock of a process and on that of an engine.
 */
export type TakeLog = readonly number[];

/** The log without the takes that no longer count: those at or before `now - length`. */
export function prune(log: TakeLog, now: number, length: number): TakeLog {
  let first = 0;
  while (first < log.length && (log[first] as number) <= now - length) first += 2;
  return first === 0 ? log : log.slice(first);
}

export function totalOf(log: TakeLog): number {
  let total = 0;
  for (let i = 1; i < log.length; i += 2) total += log[i] as number;
  return total;
}

/** The log with one more take. Takes at one instant share an entry, and so do those beyond `most`. */
export function append(log: TakeLog, now: number, cost: number, most: number): TakeLog {
  const last = log.length - 2;
  const joined = last >= 0 && (log[last] === now || log.length / 2 >= most);
  return joined ? [...log.slice(0, last), now, (log[last + 1] as number) + cost] : [...log, now, cost];
}

/** The log without `cost` units of the latest takes. */
export function giveBack(log: TakeLog, cost: number): TakeLog {
  const rest = [...log];
  for (let left = cost; left > 0 && rest.length > 0; ) {
    const last = rest.at(-1) as number;
    if (last > left) {
      rest[rest.length - 1] = last - left;
      break;
    }
    left -= last;
    rest.length -= 2;
  }
  return rest;
}

/** Time until `cost` can be taken; 0 if it can be now. `log` is pruned. */
export function waitFor(log: TakeLog, now: number, length: number, cost: number, limit: number): number {
  let over = totalOf(log) + cost - limit;
  if (over <= 0) return 0;
  for (let i = 0; i < log.length; i += 2) {
    over -= log[i + 1] as number;
    if (over <= 0) return (log[i] as number) + length - now;
  }
  return length;
}
