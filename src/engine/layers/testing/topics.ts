import assert from "node:assert/strict";
import { encodeKey, encodeUtf8 } from "../../../core/index.ts";
import type { Driver, LogDriver, RawCheck, RawCommit, RawMutation, RawRecord } from "../../driver.ts";
import { topicKeys } from "../topic-keys.ts";
import { TopicReader } from "../topic-reader.ts";

/** The topic that tests use unless they say otherwise. */
export const topic = encodeKey(["orders"]);
/** The key that tests use. */
export const key = encodeKey(["state"]);
/** A read of everything. */
export const all = { from: 0, limit: 1_000_000, bytes: Number.MAX_SAFE_INTEGER };
/** What an `add` without bounds has besides its delta. */
export const unbounded = { floor: undefined, ceiling: undefined, ttl: undefined };

export function commitOf(mutations: RawMutation[], checks: RawCheck[] = []): RawCommit {
  let bytes = 0;
  for (const mutation of mutations) {
    if (mutation.kind === "append")
      bytes += mutation.topic.length + mutation.records.reduce((sum, record) => sum + record.length, 0);
    else bytes += mutation.key.length + (mutation.kind === "set" ? mutation.value.length : 0);
  }
  for (const check of checks) if (check.kind === "key") bytes += check.key.length;
  return { checks, mutations, bytes };
}

export function appendOf(records: readonly (string | Uint8Array)[], to = topic): RawMutation {
  return {
    kind: "append",
    topic: to,
    records: records.map((record) => (typeof record === "string" ? encodeUtf8(record) : record)),
  };
}

export async function append(driver: Driver, records: readonly (string | Uint8Array)[], to = topic): Promise<number> {
  const [outcome] = await driver.commitMany([commitOf([appendOf(records, to)])]);
  assert.ok(outcome?.ok);
  return outcome.offsets[0] as number;
}

export function logOf(driver: Driver): LogDriver {
  return driver.log as LogDriver;
}

export async function textsOf(driver: Driver, from = 0, of = topic): Promise<string[]> {
  return (await logOf(driver).read(of, { ...all, from })).map(({ value }) => new TextDecoder().decode(value));
}

/** Asserts that the records are dense and in order of time. */
export function assertDense(records: readonly RawRecord[], first = 0): void {
  records.forEach(({ offset, time }, i) => {
    assert.equal(offset, first + i);
    assert.ok(time >= (records[i - 1]?.time ?? 0));
  });
}

/** How many appends are not packed, and how many packed rows there are. */
export async function shapeOf(inner: Driver, of = topic): Promise<{ tail: number; rows: number }> {
  const keys = topicKeys(of);
  const tail = await new TopicReader(inner).tail(keys);
  const rows = await inner.list(keys.rowsFrom(0), { limit: inner.limits.listEntries, reverse: false });
  return { tail: tail.rows.length, rows: rows.length };
}
