import { CorruptionError, type Key } from "../../core/index.ts";
import type { Topic } from "../../engine/index.ts";
import type { Metadata } from "./contract.ts";

/**
 * Where an event store keeps what, under `["event-store", name]`. The body of an event is stored once: in a row of its stream. The log of all events holds references.
 *
 * | key | value | |
 * |---|---|---|
 * | `["row", stream, first]` | `StoredRow` | the events of one append (or a part of it), under the version of the first |
 * | topic `["log"]` | `Reference` | one for each event, in the order of the commits |
 * | `["kept", stream]` | version | the first version that has not been truncated; absent if none has |
 * | `["snapshot", stream]` | `StoredSnapshot` | the state at some version; may be missing |
 * | `["projection", name]` | `ProjectionRecord` | which generations there are |
 * | `["projection", name, generation]` | position | all events below it are projected; commits with what the handler wrote |
 * | `["view", name, generation, …]` | any | what the handler wrote through `context.view` |
 *
 * Invariant: rows are dense: the row after the one that ends at version v lies at v + 1, and is written only by a commit that found the row before it present and
 * this key absent (for the first row: found no truncation). Rows go in ascending order, and never the last one. So whoever finds the row that ends at v
 * present and v + 1 absent knows, without reading anything, that the stream is at version v.
 */
export const keys = {
  row: (stream: string, first: number): Key => ["row", stream, first],
  rows: (stream: string): Key => ["row", stream],
  kept: (stream: string): Key => ["kept", stream],
  snapshot: (stream: string): Key => ["snapshot", stream],
  projection: (name: string): Key => ["projection", name],
  checkpoint: (name: string, generation: number): Key => ["projection", name, generation],
  view: (name: string, generation: number): Key => ["view", name, generation],
};

export const logTopic: Topic = ["log"];

/** Stream and version of the event, and how many events of its row come before it (0 is left out). */
export type Reference = readonly [stream: string, version: number, index?: number];

/**
 * What one append wrote to a stream. `ids`: one for each event, or one for all, from which the others follow (see `idOf`). `bodies`: the events; null: truncated. Instead of the
 * array, null: the stream's tombstone. `forms`: the form of each (the number of upcasters when it was stored), or 0 for all.
 */
export type StoredRow = readonly [
  time: number,
  ids: string | readonly string[],
  bodies: readonly unknown[] | null,
  forms: 0 | readonly number[],
  metadata: Metadata | null,
];

export interface StoredSnapshot {
  readonly version: number;
  /** The `version` of the options. */
  readonly form: number;
  /** The first version that went into it. */
  readonly first: number;
  readonly state: unknown;
}

/** Events of the row; a tombstone counts as one. */
export function countOf(row: StoredRow): number {
  return row[2]?.length ?? 1;
}

export function isTombstone(row: StoredRow): boolean {
  return row[2] === null;
}

export function idOf(ids: string | readonly string[], index: number): string {
  if (typeof ids !== "string") return ids[index] as string;
  return index === 0 ? ids : `${ids}-${index}`;
}

/** The version under which the row lies. */
export function firstOfKey(key: Key): number {
  const first = key[2];
  if (typeof first !== "number")
    throw new CorruptionError("a row of an event store lies under a key that is none of its own");
  return first;
}
