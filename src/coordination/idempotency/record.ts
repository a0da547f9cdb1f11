import type { Key } from "../../core/index.ts";
import type { Version } from "../../engine/index.ts";
import type { StoredError } from "./stored-error.ts";

/**
 * | key, after the namespace | value |
 * |---|---|
 * | `["idempotency", name, key]` | the `KeyRecord` of the key; it lives for the retention, while in progress at least a day |
 *
 * An in-progress record counts only as long as the lease that it names lasts. Nothing deletes a record but the end of its time: a claim that arrives late expects
 * the key absent, or at an earlier version, and finds neither.
 */
export function recordKey(namespace: Key, name: string, key: string): Key {
  return [...namespace, "idempotency", name, key];
}

interface Common {
  /** Which run of the function wrote this. Never used again; tells a commit whose answer was lost from another's. */
  readonly run: string;
  /** How often the function has begun: 1 for the first. */
  readonly attempt: number;
  /** Absent if no caller gave one yet. */
  readonly fingerprint?: string;
}

/** The function runs, as long as the lease lasts. */
export interface InProgress extends Common {
  readonly state: "in-progress";
  readonly lease: string;
  /** When it began: the engine's clock, milliseconds since the epoch. */
  readonly since: number;
}

/** The function has succeeded. */
export interface Done extends Common {
  readonly state: "done";
  /** Absent if it was `undefined`. */
  readonly result?: unknown;
}

/** The function has failed for good. */
export interface Failed extends Common {
  readonly state: "failed";
  readonly error: StoredError;
}

/** The function has failed, or was never begun; the next caller runs it. */
export interface Retryable extends Common {
  readonly state: "retryable";
  readonly error?: StoredError;
}

export type KeyRecord = InProgress | Done | Failed | Retryable;
export type Answer = Done | Failed;

/** A record as it was read. */
export interface Seen {
  readonly record: KeyRecord;
  readonly version: Version;
}

export function isAnswer(record: KeyRecord | undefined): record is Answer {
  return record?.state === "done" || record?.state === "failed";
}
