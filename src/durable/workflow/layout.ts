import type { Key } from "../../core/index.ts";
import type { Attributes, HistoryEvent, RunStatus } from "./contract.ts";
import type { StoredError } from "./errors.ts";

/**
 * Keys of a group of workflows, below `["workflow", name]`.
 *
 * | key | value | |
 * |---|---|---|
 * | `["shards"]` | number | of shards, for ever |
 * | `["run", id]` | `RunRecord` | changes when the run ends, or is stuck |
 * | `["history", id, generation, n]` | `HistoryEvent` | the n-th that the code was told, from 0 |
 * | `["signal", id, message]` | `Message` | not taken yet |
 * | `["active", shard, id]` | true | the run is to be in its owner's memory; rewritten when there is something new for it |
 * | `["timer", shard, due, id]` | true | the run has left memory, and is to be there again at that time |
 * | `["stuck", shard, id]` | true | tried again by the next owner of the shard |
 * | `["ended", shard, time, id]` | true | to be forgotten at that time |
 * | `["old", shard, id, generation]` | true | a history to be forgotten |
 * | `["child", id, child]` | `ChildRecord` | begun by the run, which has not recorded its end |
 * | `["reply", id, request]` | `Reply` | to a query or an update, for a time |
 * | `["attributes", id]` | `Attributes` | by what the run is found |
 * | `["by", name, value, id]` | true | it has this attribute |
 *
 * Invariant: an open run has an entry among the active ones, or the earliest of what it waits for is among the timers, or it waits for messages alone and none that it has not seen is there.
 * An owner's commits hold only if it owns the shard, the run's record is as it was, and the place in the history is free.
 */
export const keys = {
  shards: ["shards"] as Key,
  run: (id: string): Key => ["run", id],
  history: (id: string, generation: number, n: number): Key => ["history", id, generation, n],
  message: (id: string, message: string): Key => ["signal", id, message],
  active: (shard: number, id: string): Key => ["active", shard, id],
  timer: (shard: number, due: number, id: string): Key => ["timer", shard, due, id],
  stuck: (shard: number, id: string): Key => ["stuck", shard, id],
  ended: (shard: number, time: number, id: string): Key => ["ended", shard, time, id],
  old: (shard: number, id: string, generation: number): Key => ["old", shard, id, generation],
  child: (id: string, child: string): Key => ["child", id, child],
  reply: (id: string, request: string): Key => ["reply", id, request],
  attributes: (id: string): Key => ["attributes", id],
  by: (name: string, value: string | number | boolean, id: string): Key => ["by", name, value, id],
};

export interface RunRecord {
  readonly workflow: string;
  readonly input?: unknown;
  readonly started: number;
  readonly status: RunStatus;
  readonly ended?: number;
  readonly result?: unknown;
  readonly error?: StoredError;
  /** How often it has gone on anew; absent: never. */
  readonly generation?: number;
  /** When it last went on anew. */
  readonly renewed?: number;
  readonly parent?: ParentLink;
  /** It is cancelled then. */
  readonly deadline?: number;
  /** Those that it was started with. */
  readonly attributes?: Attributes;
  readonly memo?: unknown;
}

/** Who waits for a child: a command of a generation of a run. */
export interface ParentLink {
  readonly id: string;
  readonly generation: number;
  readonly seq: number;
}

export interface ChildRecord {
  readonly onParentEnd: "cancel" | "terminate" | "abandon";
}

/** What a message says of the end of a child. */
export interface ChildEnd extends Omit<ParentLink, "id"> {
  readonly child: string;
  readonly value?: unknown;
  readonly error?: StoredError;
}

/** What a message says of a query or an update. */
export interface Request {
  readonly request: string;
  readonly name: string;
  readonly args?: unknown;
}

export type Reply = { readonly value?: unknown } | { readonly error: StoredError };

export interface Message {
  readonly name: string;
  readonly payload?: unknown;
}

/** The message that cancels; signals cannot have these names. */
export const cancelName = "$cancel";
export const childName = "$child";
export const queryName = "$query";
export const updateName = "$update";

export type Completion = HistoryEvent;

export function generationOf({ generation }: RunRecord): number {
  return generation ?? 0;
}

/** Whether it will never go on. */
export function isOver({ ended }: RunRecord): boolean {
  return ended !== undefined;
}
