import type { Key } from "../../core/index.ts";
import type { Topic } from "../../engine/index.ts";

/**
 * Where a queue keeps what, under `["queue", name]`. What has no option that asks for more waits in the lane, a topic of the log, and is never written
 * again before it is done: taking from it moves the head. Everything else lies on the shelf: a job under its id, and an entry that says what it waits for.
 *
 * | key | value | |
 * |---|---|---|
 * | topic `["lane"]` | `LaneRecord` | plain jobs in the order of their adding |
 * | `["head"]` | `Head` | the first record of the lane that nobody has taken |
 * | `["skip", offset]` | true | a record of the lane, not taken yet, that is cancelled |
 * | `["job", id]` | `StoredJob` | a job of the shelf, from its adding (or first failure) to its end, or for as long as it is a dead letter |
 * | `["ready", -priority, since, id]` | true | may be taken, in this order |
 * | `["delayed", due, id]` | `Delayed` | becomes ready when due, or joins those of its key |
 * | `["chain", key, -priority, id]` | true | waits for its turn among the jobs of its ordering key |
 * | `["turn", key, id]` | since | its turn has come: ready since then, delayed for another attempt, or taken |
 * | `["parent", id, child]` | `ChildState` | what has become of a child |
 * | `["stir", kind, name]` | true | something changed for this key (`chain`) or parent (`parent`): see what may become ready |
 * | `["claim", lease, n]` | `ClaimValue` | jobs taken by the process with this lease |
 * | `["done", lease, n]` | bits | those of them that are settled; one bit each, added blindly |
 * | `["dead", id]` | `Death` | marks a job of the shelf as a dead letter |
 * | `["finished", id]` | `FinishedJob` | results and what is kept of finished jobs, for a time |
 * | `["progress", id]` | any | the latest progress told by a handler |
 * | `["dedupe", key]` | id | a deduplication key in use |
 * | `["cancelled", id]` | true | told to stop while it ran, for a time |
 * | topic `["cancels"]` | id | wakes whoever runs it |
 * | `["paused"]` | true | nothing is taken |
 * | `["running"]`, `["waiting"]`, `["rate"]` | sums | what the limits count; only where there are limits |
 * | `["bell"]` | | rewritten when something changed on the shelf |
 * | `["call"]` | `Call` | a worker that has nothing to do: producers may claim new jobs for it |
 * | `["handed", lease]` | n | the latest claim that another process made for the one with this lease |
 *
 * Invariant: a job that was added and has not ended is in exactly one place: in the lane at or after the head and not skipped, in `ready`, `delayed` or `chain`, waiting for
 * children, or in a claim with its bit unset.
 */
export const keys = {
  head: ["head"] as Key,
  skip: (offset: number): Key => ["skip", offset],
  job: (id: string): Key => ["job", id],
  ready: (priority: number, since: number, id: string): Key => ["ready", -priority, since, id],
  delayed: (due: number, id: string): Key => ["delayed", due, id],
  chain: (key: string, priority: number, id: string): Key => ["chain", key, -priority, id],
  turn: (key: string, id: string): Key => ["turn", key, id],
  parent: (id: string, child: string): Key => ["parent", id, child],
  stir: (kind: StirKind, name: string): Key => ["stir", kind, name],
  claim: (lease: string, number: number): Key => ["claim", lease, number],
  done: (lease: string, number: number): Key => ["done", lease, number],
  dead: (id: string): Key => ["dead", id],
  finished: (id: string): Key => ["finished", id],
  progress: (id: string): Key => ["progress", id],
  dedupe: (key: string): Key => ["dedupe", key],
  cancelled: (id: string): Key => ["cancelled", id],
  paused: ["paused"] as Key,
  running: ["running"] as Key,
  waiting: ["waiting"] as Key,
  rate: ["rate"] as Key,
  bell: ["bell"] as Key,
  call: ["call"] as Key,
  handed: (lease: string): Key => ["handed", lease],
};

export const laneTopic: Topic = ["lane"];
export const cancelsTopic: Topic = ["cancels"];

export type StirKind = "chain" | "parent";

/** Id, data, headers. */
export type LaneRecord = readonly [id: string, data: unknown, headers?: Headers];

export type Headers = Readonly<Record<string, string>>;

export interface Head {
  /** Offset of the first record not taken. */
  readonly at: number;
  /** How many records at or after it are skipped. */
  readonly skips: number;
}

/** What went wrong in an attempt. */
export interface Failure {
  /** Which attempt: 1 for the first. */
  readonly attempt: number;
  /** The engine's clock in milliseconds. */
  readonly at: number;
  readonly name: string;
  readonly message: string;
  readonly code?: string;
}

/** A job of the shelf. Times are the engine's clock in milliseconds. */
export interface StoredJob {
  readonly data: unknown;
  readonly headers?: Headers;
  readonly added: number;
  /** Attempts that have failed. */
  readonly failures: number;
  /** How often the process that had taken it died. The first time costs no attempt: it may not even have been begun. */
  readonly deaths?: number;
  /** The latest failures. */
  readonly history?: readonly Failure[];
  readonly priority?: number;
  readonly key?: string;
  readonly expires?: number;
  /** The entry to be deleted at its end. */
  readonly dedupe?: string;
  /** The parent that waits for it. */
  readonly parent?: ParentLink;
  /** It waited, or waits, for children, and what it does when one of them fails for good. */
  readonly children?: ChildPolicy;
  /** Not before this: its delay, or the pause after its last failure. */
  readonly due?: number;
}

/** By what a job that is ready is ordered within its priority. The turn of an ordering key has its own. */
export function sinceOf(job: StoredJob): number {
  return job.due ?? job.added;
}

/** The priority; for a job that is not yet among those of its ordering key, that too. */
export type Delayed = number | { readonly key: string; readonly priority: number };

export interface ParentLink {
  readonly queue: string;
  readonly id: string;
}

/** When a child failed for good: the parent fails too, or runs and sees it. */
export type ChildPolicy = "fail" | "run";

export type ChildState =
  | { readonly state: "waiting"; readonly queue: string }
  | { readonly state: "done"; readonly queue: string; readonly result?: unknown }
  | { readonly state: "failed"; readonly queue: string; readonly reason: string };

/** What a claim holds: a stretch of the lane, jobs of the shelf, or jobs handed over by their producer before they ever waited. */
export type ClaimValue =
  /** All offsets from `from` below `to`, or only those. */
  | { readonly lane: { readonly from: number; readonly to: number; readonly only?: readonly number[] } }
  | { readonly shelf: readonly string[] }
  | { readonly inline: readonly LaneRecord[]; readonly at: number };

export interface Call {
  readonly lease: string;
  /** One for each call of a process. */
  readonly token: number;
  /** Jobs of one hand-over at most. */
  readonly jobs: number;
}

export interface Death {
  readonly reason: DeadReason;
  readonly died: number;
}

export type DeadJob = StoredJob & Death;

/** Why a job became a dead letter: its attempts were used up, its handler parked it, it was not begun in time, or a child failed. */
export type DeadReason = "attempts" | "parked" | "expired" | "child";

export interface FinishedJob {
  readonly state: "done" | "dropped" | "dead" | "cancelled" | "expired";
  readonly result?: unknown;
  readonly error?: Failure;
  readonly at: number;
  readonly attempts: number;
}

/** Jobs of one claim at most: bits of a safe integer. */
export const slotsPerClaim = 50;
