import type { Key } from "../../core/index.ts";
import type { LogRecord, Topic } from "../../engine/index.ts";
import type { StreamRecord } from "./contract.ts";

/**
 * Key layout of a stream, under `["stream", name]`:
 *
 * | key | value | |
 * |---|---|---|
 * | `["partitions"]` | number | how many there are, for ever |
 * | topic `["partition", p]` | `StoredRecord` | the records |
 * | `["groups", group]` | true | the groups that there are |
 * | `["position", group, p]` | offset | the first record that the group has not consumed; commits with what its handler wrote |
 * | topic `["parked", group]` | `Parked` | records kept aside |
 * | `["redriven", group]` | offset | records kept aside before it have been appended again; commits with them |
 * | `["appended", p]` | bytes | of all records ever appended; only with a retention by bytes |
 * | `["trimmed", p]` | `Trimmed` | how far and how many bytes of it were trimmed; only with a retention by bytes |
 *
 * Which member has a partition is kept by a shard map named `stream/<name>/<group>`.
 *
 * Invariant: a position is written only by the owner of the partition, fenced, and only if it is what the owner last saw.
 */
export const keys = {
  partitions: ["partitions"] as Key,
  group: (group: string): Key => ["groups", group],
  position: (group: string, partition: number): Key => ["position", group, partition],
  redriven: (group: string): Key => ["redriven", group],
  appended: (partition: number): Key => ["appended", partition],
  trimmed: (partition: number): Key => ["trimmed", partition],
};

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
