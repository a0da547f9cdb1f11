import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeInteger, encodeKey, toBinaryString } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { ChangeSink, Driver, RawCommit, RawCommitted, RawMutation, RawOutcome } from "../driver.ts";
import { createMemoryDriver, MemoryStore } from "../memory/index.ts";
import { logOverKeys } from "./log-over-keys.ts";
import { createKeyedDriver } from "./testing/keyed-driver.ts";
import { all, append, appendOf, commitOf, key, logOf, textsOf, topic, unbounded } from "./testing/topics.ts";
import { topicKeys } from "./topic-keys.ts";

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
    watch: async (each) => {
      each.changed([{ key: head.key, entry: head }], [], 1);
      return feed;
    },
  });
  await wrapped.watch(sink);
  assert.deepEqual([...seen.topics], [toBinaryString(long)]);
});

test("commits without appends pass straight through, synchronously where the driver is", () => {
  const { log: _, ...memory } = createMemoryDriver(new MemoryStore());
  const outcomes = logOverKeys(memory).commitMany([
    commitOf([{ kind: "set", key, value: encodeInteger(1), ttl: undefined }]),
  ]);
  assert.ok(Array.isArray(outcomes) && outcomes[0]?.ok);
});
