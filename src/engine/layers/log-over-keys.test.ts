import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeInteger, encodeKey, encodeUtf8, isAshlarError, toBinaryString } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type {
  ChangeSink,
  Driver,
  LogDriver,
  RawCheck,
  RawCommit,
  RawCommitted,
  RawMutation,
  RawOutcome,
  RawRecord,
} from "../driver.ts";
import { createMemoryDriver } from "../memory/driver.ts";
import { MemoryStore } from "../memory/store.ts";
import { createFaultyDriver } from "../testing/faulty-driver.ts";
import { seededRuntime } from "../testing/seeded.ts";
import { logOverKeys, overKeys } from "./log-over-keys.ts";
import { createKeyedDriver } from "./testing/keyed-driver.ts";
import { endOfRow, topicKeys } from "./topic-keys.ts";
import { TopicReader } from "./topic-reader.ts";

const topic = encodeKey(["orders"]);
const key = encodeKey(["state"]);
const all = { from: 0, limit: 1_000_000, bytes: Number.MAX_SAFE_INTEGER };
const unbounded = { floor: undefined, ceiling: undefined, ttl: undefined };

function commitOf(mutations: RawMutation[], checks: RawCheck[] = []): RawCommit {
  let bytes = 0;
  for (const mutation of mutations) {
    if (mutation.kind === "append")
      bytes += mutation.topic.length + mutation.records.reduce((sum, record) => sum + record.length, 0);
    else bytes += mutation.key.length + (mutation.kind === "set" ? mutation.value.length : 0);
  }
  for (const check of checks) if (check.kind === "key") bytes += check.key.length;
  return { checks, mutations, bytes };
}

function appendOf(records: readonly (string | Uint8Array)[], to = topic): RawMutation {
  return {
    kind: "append",
    topic: to,
    records: records.map((record) => (typeof record === "string" ? encodeUtf8(record) : record)),
  };
}

async function append(driver: Driver, records: readonly (string | Uint8Array)[], to = topic): Promise<number> {
  const [outcome] = await driver.commitMany([commitOf([appendOf(records, to)])]);
  assert.ok(outcome?.ok);
  return outcome.offsets[0] as number;
}

function logOf(driver: Driver): LogDriver {
  return driver.log as LogDriver;
}

async function textsOf(driver: Driver, from = 0, of = topic): Promise<string[]> {
  return (await logOf(driver).read(of, { ...all, from })).map(({ value }) => new TextDecoder().decode(value));
}

/** Asserts that the records are dense and in order of time. */
function assertDense(records: readonly RawRecord[], first = 0): void {
  records.forEach(({ offset, time }, i) => {
    assert.equal(offset, first + i);
    assert.ok(time >= (records[i - 1]?.time ?? 0));
  });
}

/** How many appends are not packed, and how many packed rows there are. */
async function shapeOf(inner: Driver, of = topic): Promise<{ tail: number; rows: number }> {
  const keys = topicKeys(of);
  const tail = await new TopicReader(inner).tail(keys);
  const rows = await inner.list(keys.rowsFrom(0), { limit: inner.limits.listEntries, reverse: false });
  return { tail: tail.rows.length, rows: rows.length };
}

test("agrees with the log of the memory engine over random commits, reads and trims of two clients", async () => {
  const topics = [topic, encodeKey(["orders", 0]), encodeKey(["x".repeat(200)])] as const;
  const records = fc.array(fc.uint8Array({ maxLength: 30 }), { minLength: 1, maxLength: 90 });
  const which = fc.nat(2).map((i) => topics[i] as Uint8Array);
  const mutation = fc.oneof(
    fc.record({ kind: fc.constant("append" as const), topic: which, records }),
    fc.record({ kind: fc.constant("add" as const), delta: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant("delete" as const) }),
  );
  const commits = fc.array(
    fc.record({ passes: fc.integer({ min: 0, max: 5 }), mutations: fc.array(mutation, { maxLength: 4 }) }),
    { minLength: 1, maxLength: 6 },
  );
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("commit" as const), client: fc.nat(1), commits }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("read" as const),
        client: fc.nat(1),
        topic: which,
        from: fc.nat(400),
        limit: fc.integer({ min: 1, max: 200 }),
        bytes: fc.integer({ min: 1, max: 5000 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("trim" as const),
        client: fc.nat(1),
        topic: which,
        before: fc.nat(300),
      }),
    },
  );
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

  function toCommits(of: Extract<Step, { kind: "commit" }>): RawCommit[] {
    return of.commits.map(({ passes, mutations }) => {
      const seen = new Set<string>();
      const distinct = mutations.flatMap((given): RawMutation[] => {
        const target = given.kind === "append" ? toBinaryString(given.topic) : "key";
        if (seen.has(target)) return [];
        seen.add(target);
        if (given.kind === "append") return [given];
        // Some sums are refused, to see that the index comes back as the caller's.
        if (given.kind === "add")
          return [{ kind: "add", key, delta: given.delta, ...unbounded, ceiling: { clock: "none", plus: 7 } }];
        return [{ kind: "delete", key }];
      });
      return commitOf(distinct, passes === 0 ? [{ kind: "key", key, revision: 1_000_000 }] : []);
    });
  }

  function comparable(outcome: RawOutcome) {
    return outcome.ok ? { ok: true, adds: outcome.adds, offsets: outcome.offsets } : outcome;
  }

  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const runtime = createManualRuntime();
      const store = new MemoryStore(runtime);
      const limits = { operations: 1000, listEntries: 24 };
      const clients = [0, 1].map(() => logOverKeys(createKeyedDriver(store, { limits }), runtime));
      const model = createMemoryDriver(new MemoryStore(runtime));
      for (const each of steps) {
        await runtime.advance(1);
        const client = clients[each.client] as Driver;
        if (each.kind === "commit") {
          const given = toCommits(each);
          assert.deepEqual(
            (await client.commitMany(given)).map(comparable),
            (await model.commitMany(given)).map(comparable),
          );
        } else if (each.kind === "read") {
          assert.deepEqual(await logOf(client).read(each.topic, each), await logOf(model).read(each.topic, each));
        } else {
          await logOf(client).trim(each.topic, each.before);
          await logOf(model).trim(each.topic, each.before);
        }
      }
      for (const each of topics) {
        for (const client of clients) {
          assert.deepEqual(await logOf(client).bounds(each), await logOf(model).bounds(each));
          assert.deepEqual(await logOf(client).read(each, all), await logOf(model).read(each, all));
        }
      }
      await Promise.all(clients.map((client) => client.close()));
    }),
    { numRuns: 150 },
  );
});

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
          mutation.records.forEach((record, r) =>
            given.set((outcome.offsets[0] as number) + r, new TextDecoder().decode(record)),
          );
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

test("appends of one flush to one topic cost one call of the driver", async () => {
  const inner = createKeyedDriver(new MemoryStore());
  const driver = logOverKeys(inner);
  const outcomes = await driver.commitMany(Array.from({ length: 50 }, (_, i) => commitOf([appendOf([String(i)])])));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && outcome.offsets[0]),
    Array.from({ length: 50 }, (_, i) => i),
  );
  assert.deepEqual(inner.calls.commits, [50]);
  await driver.close();
});

test("a refused commit appends nothing and keeps the caller's index; those beside it stand", async () => {
  const driver = logOverKeys(createKeyedDriver(new MemoryStore()));
  const refusedSum: RawMutation = { kind: "add", key, delta: 5, ...unbounded, ceiling: { clock: "none", plus: 4 } };
  const outcomes = await driver.commitMany([
    commitOf([appendOf(["a"])]),
    commitOf(
      [appendOf(["lost"])],
      [
        { kind: "key", key, revision: 0 },
        { kind: "key", key, revision: 77 },
      ],
    ),
    commitOf([appendOf(["lost"]), appendOf(["lost"], encodeKey(["other"])), refusedSum]),
    commitOf([{ kind: "add", key, delta: 3, ...unbounded }, appendOf(["b"])]),
  ]);
  assert.deepEqual(outcomes[1], { ok: false, reason: "check", index: 1 });
  assert.deepEqual(outcomes[2], { ok: false, reason: "ceiling", index: 2, value: 5, ceiling: 4 });
  const last = outcomes[3] as RawCommitted;
  assert.deepEqual([last.adds, last.offsets], [[{ value: 3, ceiling: undefined }], [1]]);
  assert.deepEqual(await textsOf(driver), ["a", "b"]);
  await driver.close();
});

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

test("topics whose names begin with one another, or are long, do not mix", async () => {
  const driver = logOverKeys(createKeyedDriver(new MemoryStore()));
  const names = [
    ["a"],
    ["a", 1],
    ["a", "tail"],
    ["a", "count"],
    ["x".repeat(500)],
    ["x".repeat(501)],
    [new Uint8Array(128)],
    [new Uint8Array(127)],
  ].map((name) => encodeKey(name));
  for (const [i, name] of names.entries())
    await append(
      driver,
      Array.from({ length: i + 1 }, () => String(i)),
      name,
    );
  for (const [i, name] of names.entries())
    assert.deepEqual(await textsOf(driver, 0, name), Array(i + 1).fill(String(i)));
  await driver.close();
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
    await new Promise((resolve) => setTimeout(resolve, 5));
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

test("the change feed tells of topics that grew, long names too, and of keys that are wanted, and of no others", async () => {
  const store = new MemoryStore();
  const driver = logOverKeys(createKeyedDriver(store));
  const seen = { keys: [] as string[], topics: new Set<string>() };
  const sink: ChangeSink = {
    wants: (wanted) => toBinaryString(wanted) === toBinaryString(key),
    changed(changes, topics) {
      seen.keys.push(...changes.map((change) => toBinaryString(change.key)));
      for (const each of topics) seen.topics.add(toBinaryString(each));
    },
    reset: () => {},
    failed: (error) => assert.fail(error),
  };
  const feed = await driver.watch(sink);
  const long = encodeKey(["long".repeat(100)]);
  await driver.commitMany([commitOf([appendOf(["a"]), { kind: "set", key, value: encodeInteger(1), ttl: undefined }])]);
  await driver.commitMany([
    commitOf([{ kind: "set", key: encodeKey(["unwanted"]), value: encodeInteger(1), ttl: undefined }]),
  ]);
  assert.deepEqual(seen, { keys: [toBinaryString(key)], topics: new Set([toBinaryString(topic)]) });
  await append(driver, ["b"], long);
  assert.deepEqual([...seen.topics], [toBinaryString(topic), toBinaryString(long)]);
  await feed.close();

  // Whoever looks only after the packing finds the head changed.
  await append(driver, Array(64).fill("c"), long);
  await driver.close();
  const [head] = await createKeyedDriver(store).getMany([topicKeys(long).head], {});
  assert.ok(head);
  seen.topics.clear();
  const wrapped = logOverKeys({
    ...createKeyedDriver(store),
    watch: async (each) => (each.changed([{ key: head.key, entry: head }], [], 1), feed),
  });
  await wrapped.watch(sink);
  assert.deepEqual([...seen.topics], [toBinaryString(long)]);
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

test("commits without appends pass straight through, synchronously where the driver is", () => {
  const { log: _, ...memory } = createMemoryDriver(new MemoryStore());
  const outcomes = logOverKeys(memory).commitMany([
    commitOf([{ kind: "set", key, value: encodeInteger(1), ttl: undefined }]),
  ]);
  assert.ok(Array.isArray(outcomes) && outcomes[0]?.ok);
});
