import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, type Key, sleep, systemRuntime } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Engine } from "../../engine/index.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { type ChangeFeed, type ChangeFeedOptions, createChangeFeed, type FeedChange } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const orders: ChangeFeedOptions = { range: { prefix: ["orders"] } };

/** A change in short: key and value; `null`: deleted. */
const brief = ({ key, value, deleted }: FeedChange) => [key.slice(1).join("/"), deleted ? null : value];

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = systemRuntime.clock.monotonic() + 20_000;
  while (!(await holds())) {
    assert.ok(systemRuntime.clock.monotonic() < end, "it does not come to it");
    await sleep(systemRuntime, 2);
  }
}

const all = <V>(feed: ChangeFeed<V>) => Array.fromAsync(feed.read({ untilNow: true }));

/** The state that the changes add up to. */
function fold(changes: readonly FeedChange[]): Map<string, unknown> {
  const state = new Map<string, unknown>();
  for (const { key, value, deleted } of changes) {
    if (deleted) state.delete(key.join("/"));
    else state.set(key.join("/"), value);
  }
  return state;
}

async function stateOf(engine: Engine, prefix: Key): Promise<Map<string, unknown>> {
  const entries = await Array.fromAsync(engine.kv.list({ prefix }));
  return new Map(entries.map(({ key, value }) => [key.join("/"), value]));
}

async function level(engine: Engine, feed: ChangeFeed): Promise<void> {
  await until(async () => {
    const [is, told] = [await stateOf(engine, ["orders"]), fold(await all(feed))];
    return (
      is.size === told.size && [...is].every(([key, value]) => JSON.stringify(told.get(key)) === JSON.stringify(value))
    );
  });
}

for (const kind of storeKinds) {
  describe(`change feeds on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "what is there is told first, then each change as it comes, with its version",
    on(async (a, b) => {
      await a.kv.set(["orders", 1], "new");
      await a.kv.set(["other", 1], "not in the range");
      const feed = createChangeFeed<string>(a, "changes", orders);
      await using running = feed.run();
      const seen: FeedChange<string>[] = [];
      const controller = new AbortController();
      const reading = (async () => {
        for await (const change of createChangeFeed<string>(b, "changes", orders).read({ signal: controller.signal }))
          seen.push(change);
      })();
      reading.catch(() => {});
      await until(() => seen.length === 1);
      const { version } = await b.kv.set(["orders", 2], "new");
      await until(() => seen.length === 2);
      await b.kv.delete(["orders", 1]);
      await until(() => seen.length === 3);
      await a.kv.set(["orders", 2], "paid");
      await until(() => seen.length === 4);
      controller.abort(new Error("enough"));
      await assert.rejects(reading, /enough/);
      assert.deepEqual(seen.map(brief), [
        ["1", "new"],
        ["2", "new"],
        ["1", null],
        ["2", "paid"],
      ]);
      assert.equal(seen[1]?.version, version);
      assert.deepEqual(
        seen.map(({ offset }) => offset),
        [0, 1, 2, 3],
      );
      assert.equal(running.leading, true);
    }),
  );

  test(
    "what changed while nobody captured is told when somebody does: the last state of each key, each version once",
    on(async (a, b) => {
      const [one, two] = [createChangeFeed(a, "changes", orders), createChangeFeed(b, "changes", orders)];
      for (const n of [1, 2, 3, 4]) await a.kv.set(["orders", n], `first ${n}`);
      const first = one.run();
      await level(a, one);
      await first.close();
      await a.kv.set(["orders", 2], "second");
      await a.kv.set(["orders", 2], "third");
      await a.kv.delete(["orders", 3]);
      await a.kv.delete(["orders", 4]);
      await a.kv.set(["orders", 4], "again");
      await a.kv.set(["orders", 5], "new");
      await using _second = two.run();
      await level(a, two);
      const changes = (await all(two)).slice(4).map(brief);
      assert.deepEqual(changes, [
        ["3", null],
        ["2", "third"],
        ["4", "again"],
        ["5", "new"],
      ]);
    }),
  );

  test(
    "another takes over at once from one who closes, and tells nothing twice",
    on(async (a, b) => {
      const [one, two] = [createChangeFeed(a, "changes", orders), createChangeFeed(b, "changes", orders)];
      const first = one.run();
      await until(() => first.leading);
      await using second = two.run();
      for (let n = 0; n < 30; n++) {
        await a.kv.set(["orders", n], n);
        if (n === 15) await first.close();
      }
      await first.done;
      await level(a, two);
      assert.deepEqual([first.leading, second.leading], [false, true]);
      const versions = (await all(two)).map(({ version }) => version);
      assert.deepEqual([versions.length, new Set(versions).size], [30, 30]);
    }),
  );

  test(
    "a follower's writes commit with its position; it goes on in another process, and a handler that fails gets the same changes again",
    on(async (a, b) => {
      const feed = createChangeFeed<number>(a, "changes", orders);
      await using _running = feed.run();
      for (let n = 0; n < 20; n++) await a.kv.set(["orders", n], n);
      await level(a, feed);
      let calls = 0;
      const sum = (engine: Engine) =>
        createChangeFeed<number>(engine, "changes", orders).follow(
          "sum",
          async (changes, { tx }) => {
            for (const { value = 0 } of changes) tx.add(["sum"], value);
            tx.add(["count"], changes.length);
            if (++calls === 2) throw new Error("not now");
          },
          { batch: 7 },
        );
      const total = async () => (await a.kv.get<number>(["count"]))?.value;
      const first = sum(a);
      await until(async () => (await total()) === 20);
      await first.close();
      await a.kv.set(["orders", 100], 1000);
      await using _second = sum(b);
      await until(async () => (await total()) === 21);
      assert.equal((await a.kv.get(["sum"]))?.value, 190 + 1000);
      assert.equal(await feed.position("sum"), 21);
    }),
  );

  test(
    "a handler whose transaction met a conflict runs again",
    on(async (a) => {
      const feed = createChangeFeed<number>(a, "changes", orders);
      await using _running = feed.run();
      await a.kv.set(["orders", 1], 1);
      let runs = 0;
      await using _follower = feed.follow("f", async (_, { tx }) => {
        const seen = (await tx.get<number>(["shared"])) ?? 0;
        if (++runs === 1) await a.kv.set(["shared"], 10);
        tx.set(["shared"], seen + 1);
      });
      await until(async () => (await feed.position("f")) === 1);
      assert.equal((await a.kv.get(["shared"]))?.value, 11);
      assert.equal(runs, 2);
    }),
  );

  test(
    "large ranges, long keys and large values come through, also over a new start",
    on(async (a) => {
      const feed = createChangeFeed(a, "changes", { ...orders, segment: 100 });
      for (let n = 0; n < 350; n += 50) {
        const mutations = Array.from({ length: 50 }, (_, i) => ({ set: ["orders", n + i], value: n + i }));
        await a.kv.commit({ mutations });
      }
      const long = "k".repeat(a.limits.keyBytes - 60);
      await a.kv.set(["orders", "long", long], "long key");
      const large = "x".repeat(a.limits.valueBytes - 16);
      await a.kv.set(["orders", "large"], large);
      const first = feed.run();
      await level(a, feed);
      assert.equal((await all(feed)).length, 352);
      await first.close();
      await a.kv.delete(["orders", "long", long]);
      await a.kv.set(["orders", 7], "changed");
      await a.kv.set(["orders", "large"], `${large.slice(1)}y`);
      await a.kv.delete(["orders", 340]);
      await using _second = feed.run();
      await level(a, feed);
      await a.kv.set(["orders", 8], "changed");
      await a.kv.set(["orders", 349], "changed");
      await level(a, feed);
      assert.equal((await all(feed)).length, 358);
    }),
  );
}

test("changes are kept for the retention, and as long as a follower has not seen them", async () => {
  const time = createManualRuntime();
  await using engine = openMemory({ store: new MemoryStore(time), runtime: time });
  const options: ChangeFeedOptions = { ...orders, retention: "1h" };
  const feed = createChangeFeed<string>(engine, "changes", options);
  const running = feed.run();
  const pass = async (ms: number) => {
    for (let i = 0; i < 10; i++) await time.advance(ms / 10);
  };
  await pass(100);
  const large = "x".repeat(engine.limits.valueBytes - 10);
  await engine.kv.set(["orders", 1], large);
  await engine.kv.set(["orders", 2], "two");
  await pass(2000);
  assert.deepEqual(await feed.bounds(), { first: 0, next: 2 });
  let blocked = true;
  const seen: unknown[] = [];
  const follower = feed.follow("slow", (changes) => {
    if (blocked) throw new Error("not now");
    seen.push(...changes.map(({ key, value }) => [key[1], value?.length]));
  });
  await pass(2 * 3_600_000);
  assert.deepEqual(await feed.bounds(), { first: 0, next: 2 });
  blocked = false;
  await pass(3_600_000);
  assert.deepEqual(seen, [
    [1, large.length],
    [2, 3],
  ]);
  await engine.kv.set(["orders", 3], "three");
  await pass(2000);
  assert.deepEqual(await feed.bounds(), { first: 2, next: 3 });
  assert.equal(
    (await Array.fromAsync(engine.scope("change-feed", "changes").kv.list({ prefix: ["large"] }))).length,
    0,
  );
  await assert.rejects(Array.fromAsync(feed.read({ from: 1, untilNow: true })), code("INVALID_STATE"));
  assert.deepEqual((await Array.fromAsync(feed.read({ untilNow: true }))).map(brief), [["3", "three"]]);
  const closing = Promise.all([follower.close(), running.close()]);
  await pass(1000);
  await closing;
});

test("a follower of a new name may begin at the end", async () => {
  await using engine = openMemory();
  const feed = createChangeFeed<number>(engine, "changes", orders);
  await using _running = feed.run();
  await engine.kv.set(["orders", 1], 1);
  await level(engine, feed);
  const seen: unknown[] = [];
  await using _follower = feed.follow("late", (changes) => void seen.push(...changes.map(brief)), { from: "end" });
  await until(async () => (await feed.position("late")) === 1);
  await engine.kv.set(["orders", 2], 2);
  await until(() => seen.length > 0);
  assert.deepEqual(seen, [["2", 2]]);
  await feed.forget("late");
  assert.equal(await feed.position("late"), undefined);
});

test("an entry that expires is told like one that is deleted", async () => {
  const time = createManualRuntime();
  await using engine = openMemory({ store: new MemoryStore(time), runtime: time });
  const feed = createChangeFeed(engine, "changes", orders);
  const running = feed.run();
  await time.advance(100);
  await engine.kv.set(["orders", 1], "short", { ttl: "5s" });
  await time.advance(1000);
  for (let i = 0; i < 20; i++) await time.advance(500);
  assert.deepEqual((await all(feed)).map(brief), [
    ["1", "short"],
    ["1", null],
  ]);
  const closing = running.close();
  await time.advance(1000);
  await closing;
});

test("a feed that was begun with another range is refused, and says so", async () => {
  await using engine = openMemory();
  const feed = createChangeFeed(engine, "changes", orders);
  const first = feed.run();
  await until(() => first.leading);
  await engine.kv.set(["orders", 1], 1);
  await level(engine, feed);
  await first.close();
  const other = createChangeFeed(engine, "changes", { range: { prefix: ["orders", 5] } }).run();
  await assert.rejects(
    other.done,
    (error) => isAshlarError(error, "INVALID_STATE") && /another range/.test(error.message),
  );
});

test("what runs ends with its signal, and closes twice without harm", async () => {
  await using engine = openMemory();
  const controller = new AbortController();
  const feed = createChangeFeed(engine, "changes", orders);
  const running = feed.run({ signal: controller.signal });
  const follower = feed.follow("f", () => {}, { signal: controller.signal });
  await until(() => running.leading && follower.leading);
  controller.abort();
  await Promise.all([running.done, follower.done]);
  await running.close();
  await Promise.all([follower.close(), follower.close()]);
  const late = feed.run({ signal: controller.signal });
  await late.done;
  assert.equal(late.leading, false);
});

test("an engine that is closed under it: done says so", async () => {
  const engine = openMemory();
  const feed = createChangeFeed(engine, "changes", orders);
  const [running, follower] = [feed.run(), feed.follow("f", () => {})];
  await until(() => running.leading && follower.leading);
  await engine.close();
  for (const each of [running, follower]) await assert.rejects(each.done, code("CLOSED"));
});

test("listeners learn who captures, how much, and of handlers that fail", async () => {
  await using engine = openMemory();
  const heard: unknown[] = [];
  const listen = (message: unknown, name: string | symbol) => heard.push([String(name).split(":")[2], message]);
  const names = ["leading", "captured", "failed"].map((each) => `ashlar:change-feed:${each}`);
  for (const name of names) subscribe(name, listen);
  const error = new Error("not now");
  try {
    const feed = createChangeFeed(engine, "changes", orders);
    await engine.kv.set(["orders", 1], 1);
    await using _running = feed.run();
    await level(engine, feed);
    let calls = 0;
    await using _follower = feed.follow("f", () => {
      if (++calls === 1) throw error;
    });
    await until(async () => (await feed.position("f")) === 1);
  } finally {
    for (const name of names) unsubscribe(name, listen);
  }
  assert.deepEqual(heard, [
    ["leading", { feed: "changes" }],
    ["captured", { feed: "changes", changes: 1 }],
    ["failed", { feed: "changes", follower: "f", position: 0, error }],
  ]);
});

test("bad input is refused, by its name", async () => {
  await using engine = openMemory();
  const refused = (run: () => unknown, message: RegExp) => assert.throws(run, { code: "INVALID_ARGUMENT", message });
  const make = (options: object, name = "x") => createChangeFeed(engine, name, { ...orders, ...options });
  refused(() => make({}, ""), /^name:/);
  refused(() => make({ range: undefined }), /^range:/);
  refused(() => make({ range: {} }), /^range:.*change-feed/);
  refused(() => make({ range: { prefix: [] } }), /^range:.*change-feed/);
  refused(() => make({ range: { prefix: ["change-feed", "x"] } }), /^range:/);
  refused(() => make({ range: { start: ["b"], end: ["a"] } }), /^range:.*not empty/);
  refused(() => make({ range: { from: ["a"] } }), /^range\.from:/);
  refused(() => make({ segment: 5 }), /^segment:/);
  refused(() => make({ retention: 5 }), /^retention:/);
  refused(() => make({ ttl: 5 }), /^ttl:/);
  refused(() => make({ prefix: ["orders"] }), /^options\.prefix:/);
  refused(() => make({}).read({ from: -1 }), /^from:/);
  refused(() => make({}).read({ limit: 5 } as object), /^options\.limit:/);
  refused(() => make({}).follow("", () => {}), /^name:/);
  refused(() => make({}).follow("f", undefined as never), /^handler:/);
  refused(() => make({}).follow("f", () => {}, { batch: 0 }), /^batch:/);
  refused(() => make({}).run({ ttl: 5 } as object), /^options\.ttl:/);
});
