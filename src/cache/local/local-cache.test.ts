import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { createLocalCache } from "./local-cache.ts";
import type { LocalCacheOptions, RemovalReason } from "./local-options.ts";
import { type Eviction, policies } from "./policy.ts";

const evictions = Object.keys(policies) as Eviction[];

test("an entry is there until its time is up, to the millisecond", async () => {
  const runtime = createManualRuntime();
  const cache = createLocalCache<string, number>({ maxEntries: 10, ttl: "5m", runtime });
  cache.set("a", 1);
  cache.set("b", 2, { ttl: 1000 });
  assert.equal(cache.remaining("b"), 1000);
  await runtime.advance(999);
  assert.equal(cache.get("b"), 2);
  await runtime.advance(1);
  assert.equal(cache.peek("b"), undefined);
  assert.equal(cache.has("b"), false);
  assert.equal(cache.remaining("b"), undefined);
  assert.equal(cache.get("b"), undefined);
  assert.equal(cache.stats().expirations, 1);
  assert.equal(cache.get("a"), 1);
  await runtime.advance(300_000);
  assert.deepEqual([...cache], []);
});

test("an idle entry expires, one that is read lives on until its absolute end", async () => {
  const runtime = createManualRuntime();
  const cache = createLocalCache<string, number>({ maxEntries: 10, ttl: 1000, idle: 300, runtime });
  cache.set("read", 1);
  cache.set("idle", 2);
  cache.set("looked at", 3);
  for (let i = 0; i < 4; i++) {
    await runtime.advance(200);
    assert.equal(cache.get("read"), 1);
    cache.peek("looked at");
  }
  assert.equal(cache.get("idle"), undefined);
  assert.equal(cache.get("looked at"), undefined);
  await runtime.advance(200);
  assert.equal(cache.get("read"), undefined);
});

test("a lifetime of one entry is its own: setting it again without one ends it", async () => {
  const runtime = createManualRuntime();
  const cache = createLocalCache<string, number>({ maxEntries: 10, runtime });
  cache.set("a", 1, { ttl: 10 });
  cache.set("a", 2);
  await runtime.advance(1000);
  assert.equal(cache.get("a"), 2);
  assert.equal(cache.remaining("a"), Number.POSITIVE_INFINITY);
});

test("a set finds entries that expired unread, and sweep finds them all", async () => {
  const runtime = createManualRuntime();
  const cache = createLocalCache<number, number>({ maxEntries: 1000, runtime });
  for (let i = 0; i < 100; i++) cache.set(i, i, { ttl: 10 });
  await runtime.advance(10);
  for (let i = 0; i < 60; i++) cache.set(1000, i);
  assert.equal(cache.size, 1);
  for (let i = 0; i < 100; i++) cache.set(i, i, { ttl: 10 });
  await runtime.advance(10);
  assert.equal(cache.sweep(), 100);
  assert.equal(cache.size, 1);
});

test("the clock is read once a millisecond, or once in 256 reads", () => {
  const manual = createManualRuntime();
  let reads = 0;
  const clock = { now: manual.clock.now, monotonic: () => ++reads };
  const cache = createLocalCache<string, number>({ maxEntries: 10, ttl: "1h", runtime: { ...manual, clock } });
  cache.set("a", 1);
  for (let i = 0; i < 2560; i++) cache.get("a");
  assert.ok(reads >= 10 && reads <= 11, `${reads} reads`);
  assert.equal(manual.pending, 1);
});

test("limits hold and counts agree, whatever happens", () => {
  const step = fc.record({
    kind: fc.constantFrom("get", "set", "set", "set", "delete", "clear", "sweep", "wait"),
    key: fc.nat(30),
    size: fc.integer({ min: 0, max: 120 }),
    ttl: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
  });
  const property = fc.asyncProperty(
    fc.constantFrom(...evictions),
    fc.array(step, { maxLength: 200, size: "max" }),
    async (eviction, steps) => {
      const runtime = createManualRuntime();
      const held = new Map<number, { size: number }>();
      const gone: Record<RemovalReason, number> = { evicted: 0, expired: 0, deleted: 0, replaced: 0 };
      const cache = createLocalCache<number, { size: number }>({
        maxEntries: 12,
        maxBytes: 300,
        sizeOf: ({ size }) => size,
        maxCost: 500,
        weigh: ({ size }, key) => key * 3 + (size > 60 ? 10 : 0),
        eviction,
        runtime,
        onRemove: (value, key, reason) => {
          gone[reason]++;
          assert.equal(held.get(key), value);
          held.delete(key);
        },
      });
      for (const { kind, key, size, ttl } of steps) {
        if (kind === "get") {
          const value = cache.get(key);
          assert.equal(value, held.get(key));
        }
        if (kind === "set") {
          const value = { size };
          if (cache.set(key, value, ttl === undefined ? {} : { ttl })) held.set(key, value);
          else assert.fail("nothing drawn is larger than the cache");
        }
        if (kind === "delete") cache.delete(key);
        if (kind === "clear" && size < 10) cache.clear();
        if (kind === "sweep") cache.sweep();
        if (kind === "wait") await runtime.advance(size / 10);
        const stats = cache.stats();
        const sizes = [...held.values()].reduce((sum, each) => sum + each.size, 0);
        assert.equal(stats.bytes, sizes);
        assert.ok(stats.bytes <= 300 && stats.cost <= 500 && stats.entries <= 12);
        assert.equal(stats.entries, held.size);
        assert.equal(stats.evictions, gone.evicted);
        assert.equal(stats.expirations, gone.expired);
      }
    },
  );
  return fc.assert(property, { numRuns: 200 });
});

test("a value larger than the whole cache is not stored, and takes its predecessor with it", () => {
  const removed: unknown[] = [];
  const cache = createLocalCache<string, string>({
    maxBytes: 10,
    sizeOf: (value) => value.length,
    onRemove: (...removal) => removed.push(removal),
  });
  assert.equal(cache.set("a", "small"), true);
  assert.equal(cache.set("a", "far too large"), false);
  assert.equal(cache.get("a"), undefined);
  assert.equal(cache.stats().refused, 1);
  assert.deepEqual(removed, [["small", "a", "replaced"]]);
});

test("without sizeOf, bytes are those of the encoded value", () => {
  const cache = createLocalCache<string, string>({ maxBytes: 1000 });
  for (let i = 0; i < 100; i++) cache.set(`k${i}`, "x".repeat(95));
  assert.ok(cache.size >= 9 && cache.size <= 10, `${cache.size}`);
});

test("the callback may use the cache, and what it throws comes out when all is in order", () => {
  const cache = createLocalCache<string, number>({
    maxEntries: 2,
    eviction: "lru",
    onRemove: (value, key, reason) => {
      if (reason === "evicted" && key === "a") cache.set("again", value);
      if (value === 9) throw new Error("from the callback");
    },
  });
  cache.set("a", 1);
  cache.set("b", 2);
  cache.set("c", 3);
  assert.deepEqual([...cache.keys()], ["c", "again"]);
  cache.set("nine", 9);
  assert.throws(() => cache.delete("nine"), /from the callback/);
  assert.equal(cache.has("nine"), false);
  assert.equal(cache.size, 1);
});

test("callers who ask at the same time share one load", async () => {
  const cache = createLocalCache<string, number>({ maxEntries: 10 });
  const answer = Promise.withResolvers<number>();
  let loads = 0;
  const load = () => {
    loads++;
    return answer.promise;
  };
  const both = [cache.getOrLoad("a", load), cache.getOrLoad("a", load)];
  answer.resolve(7);
  assert.deepEqual(await Promise.all(both), [7, 7]);
  assert.equal(await cache.getOrLoad("a", load), 7);
  assert.equal(loads, 1);
});

test("a failed load reaches all who wait and is not kept", async () => {
  const cache = createLocalCache<string, number>({ maxEntries: 10 });
  const fail = () => Promise.reject(new Error("no answer"));
  const results = await Promise.allSettled([cache.getOrLoad("a", fail), cache.getOrLoad("a", fail)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  assert.equal(await cache.getOrLoad("a", () => 3), 3);
  assert.equal(cache.stats().loadFailures, 1);
});

test("what was written or dropped during a load wins over what it loads", async () => {
  const change: Record<string, (cache: ReturnType<typeof createLocalCache<string, number>>) => void> = {
    set: (cache) => void cache.set("a", 100),
    delete: (cache) => void cache.delete("a"),
    clear: (cache) => cache.clear(),
  };
  for (const [name, act] of Object.entries(change)) {
    const cache = createLocalCache<string, number>({ maxEntries: 10 });
    const answer = Promise.withResolvers<number>();
    const loading = cache.getOrLoad("a", () => answer.promise);
    act(cache);
    answer.resolve(1);
    assert.equal(await loading, 1);
    assert.equal(cache.get("a"), name === "set" ? 100 : undefined, name);
  }
});

test("a caller who leaves gets its reason; the load is aborted when the last one has left", async () => {
  const cache = createLocalCache<string, number>({ maxEntries: 10 });
  const [first, second] = [new AbortController(), new AbortController()];
  let loadSignal: AbortSignal | undefined;
  const load = (_: string, { signal }: { readonly signal: AbortSignal }) => {
    loadSignal = signal;
    return new Promise<number>(() => {});
  };
  const calls = [
    cache.getOrLoad("a", load, { signal: first.signal }),
    cache.getOrLoad("a", load, { signal: second.signal }),
  ];
  first.abort(new Error("first left"));
  await assert.rejects(calls[0] as Promise<unknown>, /first left/);
  assert.equal(loadSignal?.aborted, false);
  second.abort(new Error("second left"));
  await assert.rejects(calls[1] as Promise<unknown>, /second left/);
  assert.equal(loadSignal?.aborted, true);
  assert.equal(await cache.getOrLoad("a", () => 5), 5);
});

test("bad options are refused by name", () => {
  const bad: [string, unknown][] = [
    ["options.maxEntries", {}],
    ["options.maxEntries", { maxEntries: 0 }],
    ["options.maxEntries", { maxEntries: 1.5 }],
    ["options.maxBytes", { maxBytes: -1 }],
    ["options.maxCost", { maxEntries: 1, weigh: () => 1 }],
    ["options.weigh", { maxCost: 5 }],
    ["options.maxBytes", { maxEntries: 1, sizeOf: () => 1 }],
    ["options.ttl", { maxEntries: 1, ttl: "soon" }],
    ["options.ttl", { maxEntries: 1, ttl: 0 }],
    ["options.eviction", { maxEntries: 1, eviction: "random" }],
    ["options.onRemove", { maxEntries: 1, onRemove: 5 }],
    ["options.maxAge", { maxEntries: 1, maxAge: 5 }],
    ["options", null],
  ];
  for (const [name, options] of bad) {
    assert.throws(
      () => createLocalCache(options as LocalCacheOptions<string, string>),
      (error) => isAshlarError(error, "INVALID_ARGUMENT") && error.details["name"] === name,
      name,
    );
  }
  const cache = createLocalCache<string, unknown>({ maxEntries: 1 });
  assert.throws(() => cache.set("a", undefined), { code: "INVALID_ARGUMENT" });
});
