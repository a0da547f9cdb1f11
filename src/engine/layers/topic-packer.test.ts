import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeKey } from "../../core/index.ts";
import type { RawMutation } from "../driver.ts";
import { MemoryStore } from "../memory/index.ts";
import { logOverKeys, overKeys } from "./log-over-keys.ts";
import { createKeyedDriver } from "./testing/keyed-driver.ts";
import {
  all,
  append,
  appendOf,
  assertDense,
  commitOf,
  logOf,
  shapeOf,
  textsOf,
  topic,
  unbounded,
} from "./testing/topics.ts";
import { topicKeys } from "./topic-keys.ts";

test("many small appends end up in few rows, and any part of them can be read", async () => {
  const inner = createKeyedDriver(new MemoryStore());
  const driver = logOverKeys(inner);
  for (let i = 0; i < 1000; i += 10) {
    await driver.commitMany(Array.from({ length: 10 }, (_, j) => commitOf([appendOf([`record ${i + j}`])])));
  }
  await driver.close();
  const { tail, rows } = await shapeOf(inner);
  assert.ok(tail < 64, `${tail} appends are not packed`);
  assert.ok(rows <= 1000 / 60, `${rows} rows`);
  for (const from of [0, 1, 63, 64, 500, 935, 990, 999]) {
    const records = await logOf(driver).read(topic, { from, limit: 30, bytes: 1_000_000 });
    assert.equal(records.length, Math.min(30, 1000 - from));
    assertDense(records, from);
    assert.equal(new TextDecoder().decode(records[0]?.value), `record ${from}`);
  }
  assert.deepEqual(await logOf(driver).read(topic, { ...all, from: 1000 }), []);
});

test("clients that append one record each and leave still get their topic packed", async () => {
  const store = new MemoryStore();
  for (let i = 0; i < 200; i++) {
    const driver = logOverKeys(createKeyedDriver(store));
    await append(driver, [String(i)]);
    await driver.close();
  }
  const { tail, rows } = await shapeOf(createKeyedDriver(store));
  assert.ok(tail < 64 && rows >= 2, `${tail} appends are not packed, ${rows} rows are`);
});

test("large appends are split into rows of 64 KiB, and packed again by their bytes", async () => {
  const inner = createKeyedDriver(new MemoryStore());
  const driver = logOverKeys(inner);
  const large = Array.from({ length: 40 }, (_, i) => new Uint8Array(10_000).fill(i));
  await append(driver, large);
  await append(driver, [new Uint8Array(200_000).fill(7)]);
  await driver.close();
  const records = await logOf(driver).read(topic, all);
  assertDense(records);
  assert.deepEqual(
    records.map(({ value }) => value[9_999]),
    [...large.keys(), 7],
  );
  const sizes = (await inner.list(topicKeys(topic).rowsFrom(0), { limit: 100, reverse: false })).map(
    ({ value }) => value.length,
  );
  assert.ok(sizes.slice(0, -1).every((size) => size <= 64 * 1024) && sizes.length >= 7, String(sizes));
});

test("whatever its limits allow stays within the driver's", async () => {
  const limits = { keyBytes: 1024, valueBytes: 260 * 1024, operations: 200, commitBytes: 1_300_000, listEntries: 256 };
  const own = overKeys({ ...limits, messageBytes: 4096 });
  assert.ok(
    own.operations >= 100 && own.valueBytes >= 256 * 1024 && own.commitBytes >= 1024 * 1024,
    JSON.stringify(own),
  );
  const longTopics = (i: number) => encodeKey([`${i}`.padEnd(1000, "t")]);
  const zeros = (i: number) => encodeKey([new Uint8Array(60).fill(0), i]);
  const batches: RawMutation[][] = [
    [appendOf([new Uint8Array(own.valueBytes)], longTopics(0))],
    Array.from({ length: own.operations }, (_, i) => appendOf(["x"], longTopics(i))),
    Array.from({ length: own.operations }, (_, i) => appendOf([new Uint8Array(9_000)], zeros(i))),
    [appendOf(Array.from({ length: own.operations }, () => new Uint8Array(own.commitBytes / own.operations - 11)))],
  ];
  for (const mutations of batches) {
    const driver = logOverKeys(createKeyedDriver(new MemoryStore(), { limits }));
    const commit = commitOf(mutations);
    assert.ok(commit.bytes <= own.commitBytes && commit.bytes > 0);
    for (let i = 0; i < 3; i++) {
      const [outcome] = await driver.commitMany([commit]);
      assert.ok(outcome?.ok);
      for (const mutation of mutations) {
        assert.ok(mutation.kind === "append");
        assert.equal((await logOf(driver).bounds(mutation.topic)).next, (i + 1) * mutation.records.length);
      }
    }
    await driver.close();
  }
});

test("trimmed records are gone, their rows deleted, and their offsets not given out again", async () => {
  const inner = createKeyedDriver(new MemoryStore());
  const driver = logOverKeys(inner);
  for (let i = 0; i < 500; i++) await append(driver, [String(i)]);
  const before = (await shapeOf(inner)).rows;
  await logOf(driver).trim(topic, 450);
  assert.deepEqual(await logOf(driver).bounds(topic), { first: 450, next: 500 });
  assert.ok((await shapeOf(inner)).rows <= 1 && before >= 5, `${before} rows before`);
  assert.equal((await textsOf(driver)).at(0), "450");
  assertDense(await logOf(driver).read(topic, { ...all, from: 3 }), 450);

  await logOf(driver).trim(topic, 100);
  assert.equal((await logOf(driver).bounds(topic)).first, 450);
  await logOf(driver).trim(topic, 10_000);
  assert.deepEqual(await logOf(driver).bounds(topic), { first: 500, next: 500 });
  assert.deepEqual(await textsOf(driver), []);
  const left = await inner.list(
    { start: Uint8Array.of(0xff), end: Uint8Array.of(0xff, 0xff) },
    { limit: 100, reverse: false },
  );
  assert.equal(left.length, 3, "more than the count, the first offset and the head is left");
  assert.equal(await append(driver, ["next"]), 500);
  assert.deepEqual(await textsOf(driver), ["next"]);
  await driver.close();
});

test("a trim that was cut off halfway is finished by the next one", async () => {
  const store = new MemoryStore();
  const inner = createKeyedDriver(store);
  const driver = logOverKeys(inner);
  for (let i = 0; i < 300; i++) await append(driver, [String(i)]);
  await driver.close();
  const keys = topicKeys(topic);
  await inner.commitMany([commitOf([{ kind: "add", key: keys.first, delta: 300, ...unbounded }])]);
  assert.deepEqual(await textsOf(driver), []);
  assert.ok((await shapeOf(inner)).rows >= 3);
  await logOf(driver).trim(topic, 200);
  assert.ok((await inner.list(keys.indexUpTo(200), { limit: 10, reverse: false })).length === 0);
  assert.equal((await logOf(driver).bounds(topic)).first, 300);
});

test("who appends faster than can be packed waits before the tail grows without bounds", async () => {
  const inner = createKeyedDriver(new MemoryStore(), { limits: { operations: 10 } });
  const driver = logOverKeys(inner);
  let longest = 0;
  for (let i = 0; i < 4000; i += 80) {
    await driver.commitMany(Array.from({ length: 80 }, (_, j) => commitOf([appendOf([String(i + j)])])));
    longest = Math.max(longest, (await shapeOf(inner)).tail);
  }
  assert.ok(longest > 512 && longest < 800, `the tail grew to ${longest} appends`);
  await driver.close();
  assertDense(await logOf(driver).read(topic, all));
});
