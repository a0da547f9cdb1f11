import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Driver, RawRecord } from "../driver.ts";
import { MemoryStore } from "../memory/index.ts";
import { createFaultyDriver } from "../testing/faulty-driver.ts";
import { seededRuntime } from "../testing/seeded.ts";
import { logOverKeys } from "./log-over-keys.ts";
import { createKeyedDriver } from "./testing/keyed-driver.ts";
import { all, append, appendOf, assertDense, commitOf, logOf, shapeOf, textsOf, topic } from "./testing/topics.ts";
import { endOfRow, topicKeys } from "./topic-keys.ts";

test("three clients append at once, and a reader at the end misses none of it and sees none twice", async () => {
  for (const seed of [1, 2, 3]) {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore();
    const open = () =>
      logOverKeys(
        createKeyedDriver(store, { turns: 3, runtime, inFlight: 2, limits: { listEntries: 48, operations: 120 } }),
        runtime,
      );
    const clients = [open(), open(), open()];
    const reader = open();
    const perClient = 300;
    const given = new Map<number, string>();
    const writing = clients.map(async (client, c) => {
      for (let i = 0; i < perClient; ) {
        const commits = Array.from({ length: 1 + ((i * 7) % 5) }, () =>
          commitOf([appendOf([`${c}:${i++}`, `${c}:${i++}`])]),
        );
        for (const [at, outcome] of (await client.commitMany(commits)).entries()) {
          assert.ok(outcome.ok);
          const mutation = commits[at]?.mutations[0];
          assert.ok(mutation?.kind === "append");
          for (const [r, record] of mutation.records.entries()) {
            given.set((outcome.offsets[0] as number) + r, new TextDecoder().decode(record));
          }
        }
      }
    });
    const seen: RawRecord[] = [];
    let writers = clients.length;
    for (const each of writing) void each.then(() => writers--);
    for (;;) {
      const over = writers === 0;
      const page = await logOf(reader).read(topic, { from: seen.length, limit: 50, bytes: 10_000 });
      seen.push(...page);
      if (page.length === 0 && over) break;
    }
    await Promise.all(writing);
    assertDense(seen);
    assert.deepEqual(
      seen.map(({ value }) => new TextDecoder().decode(value)),
      [...given].sort(([a], [b]) => a - b).map(([, text]) => text),
    );
    assert.deepEqual(await logOf(reader).bounds(topic), { first: 0, next: seen.length });
    await Promise.all([...clients, reader].map((client) => client.close()));
  }
});

test("times are those of the driver's clock, and never decrease when it is set back", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const start = store.now();
  const driver = logOverKeys(createKeyedDriver(store), runtime);
  await append(driver, ["a"]);
  await runtime.advance(1000);
  await append(driver, ["b"]);
  runtime.setWallClock(start - 60_000);
  await append(driver, ["c"]);
  const timesOf = async () => (await logOf(driver).read(topic, all)).map(({ time }) => time - start);
  assert.deepEqual(await timesOf(), [0, 1000, 1000]);
  await append(driver, Array(70).fill("packed"));
  await driver.close();
  assert.equal((await shapeOf(createKeyedDriver(store))).tail, 0);
  assert.ok((await timesOf()).slice(1).every((time) => time === 1000));
  await append(driver, ["d"]);
  assert.equal((await timesOf()).at(-1), 1000);
});

test("reading goes on while others append, pack and trim", async () => {
  const runtime = seededRuntime(5);
  const store = new MemoryStore();
  const open = () =>
    logOverKeys(createKeyedDriver(store, { turns: 4, runtime, limits: { listEntries: 20, operations: 40 } }), runtime);
  const [writer, trimmer, reader] = [open(), open(), open()];
  let over = false;
  const writing = (async () => {
    for (let i = 0; i < 600; i += 6)
      await append(
        writer,
        Array.from({ length: 6 }, (_, j) => String(i + j)),
      );
    over = true;
  })();
  const trimming = (async () => {
    while (!over) {
      const { next } = await logOf(trimmer).bounds(topic);
      await logOf(trimmer).trim(topic, next - 20);
    }
  })();
  let read = 0;
  while (!over) {
    const records = await logOf(reader).read(topic, { from: 0, limit: 1000, bytes: 100_000 });
    assertDense(records, records[0]?.offset);
    for (const { offset, value } of records) assert.equal(new TextDecoder().decode(value), String(offset));
    read += records.length;
  }
  await Promise.all([writing, trimming]);
  assert.ok(read > 500, `only ${read} records read`);
  await Promise.all([writer, trimmer, reader].map((each) => each.close()));
});

test("lost answers and late arrivals leave a dense log in which every record is whole and at most once", async () => {
  for (const seed of [11, 12, 13, 14]) {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore();
    const faulty = createFaultyDriver(createKeyedDriver(store, { inFlight: 8 }), runtime, {
      refused: 0.1,
      answerLost: 0.1,
      late: 0.1,
      read: 0.1,
      reset: 0,
    });
    const driver = logOverKeys(faulty.driver, runtime);
    const offsets = new Map<string, number>();
    for (let i = 0; i < 400; i++) {
      const text = `${i}:${"x".repeat(i % 50)}`;
      try {
        offsets.set(text, await append(driver, [text]));
      } catch (error) {
        assert.ok(isAshlarError(error, "UNAVAILABLE") || isAshlarError(error, "OUTCOME_UNKNOWN"), String(error));
      }
    }
    await driver.close();
    // The latest of the late ones takes twenty turns.
    for (let i = 0; i < 25; i++) await new Promise((resolve) => setImmediate(resolve));
    const records = await logOf(logOverKeys(createKeyedDriver(store))).read(topic, all);
    assertDense(records);
    const texts = records.map(({ value }) => new TextDecoder().decode(value));
    assert.equal(new Set(texts).size, texts.length);
    for (const [text, offset] of offsets) assert.equal(texts[offset], text);
    assert.ok(faulty.counts.answerLost > 10 && faulty.counts.late > 10 && texts.length > offsets.size);
    assert.ok((await shapeOf(createKeyedDriver(store))).rows > 0);
  }
});

test("a tail of more than a page is read as of one instant", async () => {
  const store = new MemoryStore();
  const limits = { listEntries: 10, operations: 60 };
  // Half of the commits of this client never arrive, and its packing least of all.
  const inner = createKeyedDriver(store, { limits });
  const stubborn: Driver = {
    ...inner,
    commitMany: async (commits) =>
      commits.some(({ checks }) => checks.length > 0)
        ? [{ ok: false, reason: "check", index: 0 }]
        : inner.commitMany(commits),
  };
  const driver = logOverKeys(stubborn);
  for (let i = 0; i < 95; i++) await append(driver, [String(i)]);
  assert.equal((await shapeOf(inner)).rows, 0);
  const reader = logOverKeys(createKeyedDriver(store, { limits, turns: 2, runtime: seededRuntime(3) }));
  const reading = logOf(reader).read(topic, all);
  for (let i = 95; i < 120; i++) await append(driver, [String(i)]);
  const records = await reading;
  assertDense(records);
  assert.ok(records.length >= 95);
  const packer = logOverKeys(createKeyedDriver(store, { limits }));
  await logOf(packer).trim(topic, 5);
  assert.equal((await textsOf(reader)).length, 115);
  for (let i = 120; i < 200; i++) await append(packer, [String(i)]);
  await packer.close();
  assert.ok((await shapeOf(inner)).tail < 64);
  assert.deepEqual(
    await textsOf(reader),
    Array.from({ length: 195 }, (_, i) => String(i + 5)),
  );
});

test("a row that is missing or damaged is corruption, not the end of the topic", async () => {
  const store = new MemoryStore();
  const inner = createKeyedDriver(store);
  const driver = logOverKeys(inner);
  for (let i = 0; i < 200; i++) await append(driver, [String(i)]);
  await driver.close();
  const rows = await inner.list(topicKeys(topic).rowsFrom(0), { limit: 10, reverse: false });
  const [first, second] = rows as [(typeof rows)[0], (typeof rows)[0]];
  await inner.commitMany([
    commitOf([{ kind: "set", key: second.key, value: second.value.subarray(0, 50), ttl: undefined }]),
  ]);
  assert.equal(
    (await logOf(driver).read(topic, { from: 0, limit: endOfRow(first.key), bytes: 1e6 })).length,
    endOfRow(first.key),
  );
  await assert.rejects(async () => logOf(driver).read(topic, all), { code: "CORRUPTION" });
  await inner.commitMany([commitOf([{ kind: "delete", key: second.key }])]);
  await assert.rejects(async () => logOf(driver).read(topic, { ...all, from: endOfRow(first.key) }), {
    code: "CORRUPTION",
  });
});
