import type { Key } from "../../core/index.ts";
import type { HistoryEvent, RunStatus } from "./contract.ts";
import type { StoredError } from "./errors.ts";

/**
 * Keys of a group of workflows, below `["workflow", name]`.
 *
 * | key | value | |
 * |---|---|---|
 * | `["shards"]` | number | of shards, for ever |
 * | `["run", id]` | `RunRecord` | changes when the run ends, or is stuck |
 * | `["history", id, n]` | `HistoryEvent` | the n-th that the code was told, from 0 |
 * | `["signal", id, message]` | `Message` | not taken yet |
 * | `["active", shard, id]` | true | the run is to be in its owner's memory; rewritten when there is something new for it |
 * | `["timer", shard, due, id]` | true | the run has left memory, and is to be there again at that time |
 * | `["stuck", shard, id]` | true | tried again by the next owner of the shard |
 * | `["ended", shard, time, id]` | true | to be forgotten at that time |
 *
 * Invariant: an open run has an entry among the active ones, or the earliest of what it waits for is among the timers, or it waits for messages alone and none that it has not seen is there.
 * An owner's commits hold only if it owns the shard, the run's record is as it was, and the place in the history is free.
 */
export const keys = {
  shards: ["shards"] as Key,
  run: (id: string): Key => ["run", id],
  history: (id: string, n: number): Key => ["history", id, n],
  message: (id: string, message: string): Key => ["signal", id, message],
  active: (shard: number, id: string): Key => ["active", shard, id],
  timer: (shard: number, due: number, id: string): Key => ["timer", shard, due, id],
  stuck: (shard: number, id: string): Key => ["stuck", shard, id],
  ended: (shard: number, time: number, id: string): Key => ["ended", shard, time, id],
};

export interface RunRecord {
  readonly workflow: string;
  readonly input?: unknown;
  readonly started: number;
  readonly status: RunStatus;
  readonly ended?: number;
  readonly result?: unknown;
  readonly error?: StoredError;
}

export interface Message {
  readonly name: string;
  readonly payload?: unknown;
}

/** The message that cancels; others cannot have this name. */
export const cancelName = "$cancel";

export type Completion = HistoryEvent;
