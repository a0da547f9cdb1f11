import { compareKeys, type Key } from "../../core/index.ts";
import type { Batch, Version } from "../contract.ts";
import { Oracle, type OracleEntry, type Verdict } from "./oracle.ts";

/** When an operation was called and when it had returned, on one counter of the process that recorded the history. */
export interface Interval {
  readonly called: number;
  readonly returned: number;
}

export interface CommitRecord extends Interval {
  /** Names the commit; the first record of what it appends to the history's topic. */
  readonly id: string;
  readonly batch: Batch;
  /** What the engine answered. */
  readonly verdict: Verdict;
  /** The version that it gave, if it took place. */
  readonly version: Version | undefined;
}

/** One snapshot of everything. */
export interface ReadRecord extends Interval {
  readonly entries: readonly OracleEntry[];
}

/** The states that one observer held, in their order. */
export type Observation = readonly (readonly OracleEntry[])[];

export interface History {
  readonly commits: readonly CommitRecord[];
  readonly reads: readonly ReadRecord[];
  readonly observations: readonly Observation[];
  /** The ids of the commits that took place, in the order in which the log has them. */
  readonly order: readonly string[];
}

/**
 * Whether the history is linearizable, given the order that the log shows: every commit that took place gives what a
 * store would give that runs them one after another in this order; the order respects real time; every refusal and every read is
 * right at some point of this order between its call and its return; every state of an observer existed, none before an earlier one.
 * Returns what is wrong, or `undefined`.
 */
export function findViolation({ commits, reads, observations, order }: History): string | undefined {
  const byId = new Map(commits.map((commit) => [commit.id, commit]));
  const done: CommitRecord[] = [];
  for (const id of order) {
    const commit = byId.get(id);
    if (!commit?.verdict.ok) return `the log has ${id}, which ${commit ? "was refused" : "nobody wrote"}`;
    done.push(commit);
  }
  const lost = commits.find(({ id, verdict }) => verdict.ok && !order.includes(id));
  if (lost) return `the log lacks ${lost.id}, which was acknowledged`;
  if (new Set(order).size !== order.length) return "the log has a commit twice";
  const states: Oracle[] = [new Oracle()];
  return (
    misplaced(done) ??
    replay(done, states) ??
    commits.flatMap((commit) => misjudged(commit, done, states) ?? []).at(0) ??
    reads.flatMap((read) => unseen(read, done, states) ?? []).at(0) ??
    observations.flatMap((observation) => unreal(observation, states) ?? []).at(0)
  );
}

/** A commit that had returned before an earlier one in the order was called. */
function misplaced(done: readonly CommitRecord[]): string | undefined {
  let latest: CommitRecord | undefined;
  for (const commit of done) {
    if (latest && commit.returned < latest.called)
      return `${commit.id} had returned before ${latest.id} was called, yet comes after it`;
    if (!latest || commit.called > latest.called) latest = commit;
  }
  return undefined;
}

/** Fills `states`: the i-th is the state after i commits. */
function replay(done: readonly CommitRecord[], states: Oracle[]): string | undefined {
  for (const { id, batch, verdict, version } of done) {
    const next = (states.at(-1) as Oracle).clone();
    const expected = next.judge(batch);
    if (!sameVerdict(expected, verdict))
      return `${id} gave ${show(verdict)}; after what the log has before it: ${show(expected)}`;
    next.apply(batch, version as Version);
    states.push(next);
  }
  return undefined;
}

function misjudged(
  { id, batch, verdict, ...interval }: CommitRecord,
  done: readonly CommitRecord[],
  states: readonly Oracle[],
): string | undefined {
  if (verdict.ok || possible(interval, done, states).some((state) => sameVerdict(state.judge(batch), verdict)))
    return undefined;
  return `${id} was answered ${show(verdict)}, which was right at no time between its call and its return`;
}

function unseen(read: ReadRecord, done: readonly CommitRecord[], states: readonly Oracle[]): string | undefined {
  if (possible(read, done, states).some((state) => sameEntries(state.list({}), read.entries))) return undefined;
  return `a read gave ${show(read.entries)}, which was the state at no time between its call and its return`;
}

function unreal(observation: Observation, states: readonly Oracle[]): string | undefined {
  let from = 0;
  for (const [i, entries] of observation.entries()) {
    const at = states.findIndex((state, position) => position >= from && sameEntries(state.list({}), entries));
    if (at < 0) return `state ${i} of an observer, ${show(entries)}, did not exist after the one that it held before`;
    from = at;
  }
  return undefined;
}

/** The states that a store may have been in between the call and the return. */
function possible(
  { called, returned }: Interval,
  done: readonly CommitRecord[],
  states: readonly Oracle[],
): readonly Oracle[] {
  const first = done.findLastIndex((commit) => commit.returned < called) + 1;
  const after = done.findIndex((commit) => commit.called > returned);
  return states.slice(first, (after < 0 ? done.length : after) + 1);
}

function sameVerdict(a: Verdict, b: Verdict): boolean {
  return show(a) === show(b);
}

function sameEntries(a: readonly OracleEntry[], b: readonly OracleEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ key, version }, i) => sameKey(key, b[i]?.key as Key) && version === b[i]?.version)
  );
}

function sameKey(a: Key, b: Key): boolean {
  return compareKeys(a, b) === 0;
}

function show(what: unknown): string {
  return JSON.stringify(what);
}
