import type { Key } from "../../core/index.ts";
import type { LogRecord, Offset, Topic } from "../../engine/index.ts";
import type { StreamRecord } from "./contract.ts";

/** So many partitions, numbered from the first on. */
export type Layout = readonly [first: number, count: number];

/**
 * Key layout of a stream, under `["stream", name]`. Partitions are numbered on and on: those of a second layout follow those of the first.
 *
 * | key | value | |
 * |---|---|---|
 * | `["partitions"]` | `Layout[]` | oldest first; keys are spread over the last, the others are sealed |
 * | topic `["partition", p]` | `StoredRecord` | the records |
 * | `["groups", group]` | `Group` | the groups that there are |
 * | `["position", group, p]` | offset | the first record that the group has not consumed; commits with what its handler wrote |
 * | topic `["parked", group]` | `Parked` | records kept aside |
 * | `["redriven", group]` | offset | records kept aside before it have been appended again; commits with them |
 * | `["appended", p]` | bytes | of all records ever appended; only with a retention by bytes |
 * | `["trimmed", p]` | `Trimmed` | how far and how many bytes of it were trimmed; only with a retention by bytes |
 *
 * Only with compaction:
 *
 * | key | value | |
 * |---|---|---|
 * | `["compacted", p]` | offset | the records below it are in `kept`, as far as they are the latest of their key, and may be gone from the topic |
 * | `["kept", p, offset]` | `[time, StoredRecord]` | a record that was the latest of its key |
 * | `["keeping", p]` | sum | how many those are |
 * | `["latest", key]` | `Latest` | where the record kept of the key is |
 * | `["forgotten", p, offset]` | `[time, key]` | a record kept whose value is `null`, to go in its time |
 *
 * Which member has a partition is kept by a shard map for each group and layout.
 *
 * Invariants: a position is written only by the owner of the partition, fenced, and only if it is what the owner last saw. Whoever appends checks that the layouts are those it knows, so a sealed partition
 * never grows. A record kept is in `latest` of its key and nowhere else.
 */
export const keys = {
  partitions: ["partitions"] as Key,
  group: (group: string): Key => ["groups", group],
  positions: (group: string): Key => ["position", group],
  position: (group: string, partition: number): Key => ["position", group, partition],
  redriven: (group: string): Key => ["redriven", group],
  appended: (partition: number): Key => ["appended", partition],
  trimmed: (partition: number): Key => ["trimmed", partition],
  compacted: (partition: number): Key => ["compacted", partition],
  kept: (partition: number): Key => ["kept", partition],
  keptAt: (partition: number, offset: number): Key => ["kept", partition, offset],
  keeping: (partition: number): Key => ["keeping", partition],
  latest: (key: string): Key => ["latest", key],
  forgotten: (partition: number): Key => ["forgotten", partition],
  forgottenAt: (partition: number, offset: number): Key => ["forgotten", partition, offset],
};

/** A group that is new begins where it says in the layouts up to this one, and at the start of those that come later. */
export interface Group {
  readonly since: number;
}

export type Compacted = Offset;
export type Kept = readonly [time: number, record: StoredRecord];
export type Latest = readonly [partition: number, offset: Offset, forgotten?: true];
export type Forgotten = readonly [time: number, key: string];

export function partitionTopic(partition: number): Topic {
  return ["partition", partition];
}

export function parkedTopic(group: string): Topic {
  return ["parked", group];
}

export type StoredRecord = readonly [value: unknown, key?: string | null, headers?: Readonly<Record<string, string>>];

export type Parked = readonly [
  partition: number,
  offset: number,
  time: number,
  record: StoredRecord,
  error: { readonly name: string; readonly message: string },
];

export interface Trimmed {
  readonly to: number;
  readonly bytes: number;
}

export function toRecord(partition: number, { offset, time, value }: LogRecord): StreamRecord<unknown> {
  return fromStored(partition, offset, time, value as StoredRecord);
}

export function fromStored(
  partition: number,
  offset: number,
  time: number,
  [value, key, headers]: StoredRecord,
): StreamRecord<unknown> {
  return { partition, offset, time, value, key: key ?? undefined, headers: headers ?? {} };
}
