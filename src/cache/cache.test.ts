import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, UnavailableError } from "../core/index.ts";
import { type CacheOptions, createCache } from "./index.ts";
import { createVirtualCluster } from "./testing/virtual-time.ts";

/** A source of truth that counts. */
function createSource(values: Record<string, string | undefined> = {}) {
  const source = {
    values,
    loads: 0,
    failing: false,
    delay: undefined as Promise<unknown> | undefined,
    async load(key: string): Promise<string | undefined> {
      source.loads++;
      const value = source.values[key];
      await source.delay;
      if (source.failing) throw new Error("the source is down");
      return value;
    },
  };
  return source;
}

test("what is read is loaded once, and then comes from the engine, for every process", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "1" });
  const [one, two] = [cluster.cache({ load: source.load }), cluster.cache({ load: source.load })];
  assert.equal(await cluster.run(one.get("a")), "1");
  assert.equal(await cluster.run(two.get("a")), "1");
  assert.equal(source.loads, 1);
  assert.equal(two.stats().hits, 1);
});

test("an entry is fresh for its ttl on the engine's clock, less the jitter", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "1" });
  const cache = cluster.cache({ load: source.load, ttl: "10s", jitter: 0.2 });
  await cluster.run(cache.get("a"));
  await cluster.runtime.advance(7900);
  await cluster.run(cache.get("a"));
  assert.equal(source.loads, 1);
  await cluster.runtime.advance(2200);
  await cluster.run(cache.get("a"));
  assert.equal(source.loads, 2);
});

test("callers in all processes share one load", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "1" });
  const answer = Promise.withResolvers<void>();
  source.delay = answer.promise;
  const caches = Array.from({ length: 5 }, () => cluster.cache({ load: source.load }));
  const reads = caches.flatMap((cache) => [cache.get("a"), cache.get("a")]);
  await cluster.runtime.advance(500);
  assert.equal(source.loads, 1);
  answer.resolve();
  assert.deepEqual(await cluster.run(Promise.all(reads)), Array(10).fill("1"));
  assert.equal(source.loads, 1);
});

test("a loader's failure reaches its own process's callers; others try themselves", async () => {
  await using cluster = createVirtualCluster();
  const answer = Promise.withResolvers<string>();
  const failing = cluster.cache({ load: () => answer.promise });
  const working = cluster.cache({ load: () => "2" });
  const failed = [failing.get("a"), failing.get("a")].map((read) => read.catch((error: Error) => error.message));
  await cluster.runtime.advance(100);
  const waiting = working.get("a");
  await cluster.runtime.advance(100);
  answer.reject(new Error("down"));
  assert.deepEqual(await cluster.run(Promise.all(failed)), ["down", "down"]);
  assert.equal(await cluster.run(waiting), "2");
});

test("a loader that dies is replaced when its claim has expired", async () => {
  await using cluster = createVirtualCluster();
  const dying = cluster.engine();
  const loads = createCache<string>(dying, "products", { load: () => new Promise(() => {}), loadTimeout: "4s" });
  void loads.get("a").catch(() => {});
  await cluster.runtime.advance(100);
  // Its process is gone: nothing of it gives the claim back, which was for 4 s × 1.25 + 2 s + 100 ms.
  const gone = new UnavailableError("gone");
  dying.kv.tryCommit = () => Promise.reject(gone);
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(cluster.cache({ load: () => "2", loadTimeout: "4s" }).get("a")), "2");
  const took = cluster.runtime.clock.monotonic() - began;
  assert.ok(took > 6900 && took < 7500, `${took} ms`);
});

test("a load that began before an invalidation does not store what it loaded", async () => {
  const invalidations: Record<string, (cache: ReturnType<typeof createCache<string>>) => Promise<void>> = {
    invalidate: (cache) => cache.invalidate("a"),
    set: (cache) => cache.set("a", "set"),
    invalidateTag: (cache) => cache.invalidateTag("red"),
    clear: (cache) => cache.clear(),
  };
  for (const [name, invalidate] of Object.entries(invalidations)) {
    await using cluster = createVirtualCluster();
    const source = createSource({ a: "old" });
    const options: CacheOptions<string> = { load: source.load, tags: () => ["red"] };
    const [loading, other] = [cluster.cache(options), cluster.cache(options)];
    const answer = Promise.withResolvers<void>();
    source.delay = answer.promise;
    const read = loading.get("a");
    await cluster.runtime.advance(10);
    assert.equal(source.loads, 1, name);
    source.values["a"] = "new";
    source.delay = undefined;
    await cluster.run(invalidate(other));
    answer.resolve();
    await cluster.run(read);
    assert.ok(loading.stats().fenced > 0, name);
    assert.equal(await cluster.run(other.get("a")), name === "set" ? "set" : "new", name);
    assert.equal(await cluster.run(loading.get("a")), name === "set" ? "set" : "new", name);
  }
});

// Seed 307 of the staleness scenario.
test("a caller who comes while the answer to a store is on its way does not get a value invalidated meanwhile", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const engine = cluster.engine();
  const tryCommit = engine.kv.tryCommit.bind(engine.kv);
  const arrived = Promise.withResolvers<void>();
  let commits = 0;
  engine.kv.tryCommit = async (...args) => {
    const result = await tryCommit(...args);
    // The first takes the claim, the second stores.
    if (++commits === 2) await arrived.promise;
    return result;
  };
  const cache = cluster.cache({ load: source.load }, engine);
  const first = cache.get("a");
  await cluster.runtime.advance(20);
  assert.equal(commits, 2);
  source.values["a"] = "new";
  await cluster.run(cluster.cache<string>({}).invalidate("a"));
  const second = cache.get("a");
  await cluster.runtime.advance(20);
  arrived.resolve();
  assert.equal(await cluster.run(first), "old");
  assert.equal(await cluster.run(second), "new");
});

test("a tag that is invalidated while a value is loaded has it loaded once more, and then stored", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const cache = cluster.cache<string>({ load: source.load, tags: () => ["red"] });
  const answer = Promise.withResolvers<void>();
  source.delay = answer.promise;
  const read = cache.get("a");
  await cluster.runtime.advance(10);
  source.values["a"] = "new";
  await cluster.run(cluster.cache<string>({ tags: () => [] }).invalidateTag("red"));
  answer.resolve();
  assert.equal(await cluster.run(read), "new");
  assert.equal(source.loads, 2);
  assert.equal(await cluster.run(cache.get("a")), "new");
  assert.equal(source.loads, 2);
});

test("a tag takes all its entries along, and no others, at the cost of one small commit", async () => {
  await using cluster = createVirtualCluster();
  const cache = cluster.cache<number>({ tags: (value) => (value % 2 === 0 ? ["even"] : ["odd"]) });
  for (let i = 0; i < 6; i++) await cluster.run(cache.set(`k${i}`, i));
  await cluster.run(cache.invalidateTag("even"));
  const keys = ["k0", "k1", "k2", "k3", "k4", "k5"];
  assert.deepEqual(await cluster.run(cache.getMany(keys)), [undefined, 1, undefined, 3, undefined, 5]);
  await cluster.run(cache.clear());
  assert.deepEqual(await cluster.run(cache.getMany(keys)), Array(6).fill(undefined));
  await cluster.run(cache.set("k0", 8));
  assert.equal(await cluster.run(cache.get("k0")), 8);
});

test("set and invalidate take effect with a transaction, or not at all", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const cache = cluster.cache<string>({}, engine);
  const scoped = createCache<string>(engine.scope("tenant"), "products", {});
  await cluster.run(cache.set("a", "1", { tags: ["red"] }));
  const failed = engine.transact(async (tx) => {
    await cache.set("a", "2", { tx });
    await cache.invalidateTag("red", { tx });
    await scoped.set("a", "3", { tx });
    throw new Error("rolled back");
  });
  await assert.rejects(cluster.run(failed), /rolled back/);
  assert.equal(await cluster.run(cache.get("a")), "1");
  assert.equal(await cluster.run(scoped.get("a")), undefined);
  const done = engine.transact(async (tx) => {
    tx.set(["product", "a"], "mine");
    await cache.invalidateTag("red", { tx });
    await scoped.set("a", "3", { tx });
  });
  await cluster.run(done);
  assert.equal(await cluster.run(cache.get("a")), undefined);
  assert.equal(await cluster.run(scoped.get("a")), "3");
  await scoped.close();
});

test("a local copy hears of an invalidation elsewhere, and is trusted for maxStale at most if it does not", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const engine = cluster.engine();
  const options: CacheOptions<string> = { load: source.load, local: { maxEntries: 10, maxStale: "5s" } };
  const near = cluster.cache(options, engine);
  const deafEngine = cluster.engine();
  deafEngine.kv.watch = () => {
    throw new UnavailableError("no watch");
  };
  const deaf = cluster.cache(options, deafEngine);
  const other = cluster.cache(options);
  await cluster.run(near.get("a"));
  await cluster.run(deaf.get("a"));
  await cluster.run(Promise.all([near.get("a"), deaf.get("a")]));
  assert.equal(near.stats().localHits, 1);
  source.values["a"] = "new";
  await cluster.run(other.invalidate("a"));
  await cluster.runtime.advance(50);
  assert.equal(await cluster.run(near.get("a")), "new");
  assert.equal(await cluster.run(deaf.get("a")), "old");
  await cluster.runtime.advance(5000);
  assert.equal(await cluster.run(deaf.get("a")), "new");
});

test("the process that invalidates, and a coherent cache, never see the old value", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const options: CacheOptions<string> = { load: source.load, local: { maxEntries: 10 } };
  const own = cluster.cache(options);
  const coherent = cluster.cache({ ...options, coherent: true });
  await cluster.run(Promise.all([own.get("a"), coherent.get("a")]));
  source.values["a"] = "new";
  await cluster.run(own.invalidate("a"));
  const reads = Promise.all([own.get("a"), coherent.get("a")]);
  assert.deepEqual(await cluster.run(reads), ["new", "new"]);
});

test("stale-while-revalidate serves the old value at once and loads behind it, once", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const cache = cluster.cache({ load: source.load, ttl: "1s", jitter: 0, staleWhileRevalidate: "10s" });
  await cluster.run(cache.get("a"));
  source.values["a"] = "new";
  await cluster.runtime.advance(1500);
  assert.deepEqual(await cluster.run(Promise.all([cache.get("a"), cache.get("a")])), ["old", "old"]);
  await cluster.runtime.advance(50);
  assert.equal(await cluster.run(cache.get("a")), "new");
  assert.equal(source.loads, 2);
  await cluster.runtime.advance(12_000);
  source.values["a"] = "newest";
  assert.equal(await cluster.run(cache.get("a")), "newest");
});

test("stale-if-error serves the old value only when loading failed", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const cache = cluster.cache({ load: source.load, ttl: "1s", jitter: 0, staleIfError: "10s" });
  await cluster.run(cache.get("a"));
  await cluster.runtime.advance(1500);
  source.failing = true;
  assert.equal(await cluster.run(cache.get("a")), "old");
  assert.equal(cache.stats().staleServed, 1);
  await cluster.runtime.advance(10_000);
  await assert.rejects(cluster.run(cache.get("a")), /the source is down/);
});

test("what the source does not have is cached for negativeTtl, and not at all without it", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource();
  const cache = cluster.cache({ load: source.load, negativeTtl: "2s", jitter: 0 });
  for (let i = 0; i < 3; i++) assert.equal(await cluster.run(cache.get("none")), undefined);
  assert.equal(source.loads, 1);
  await cluster.runtime.advance(2000);
  await cluster.run(cache.get("none"));
  assert.equal(source.loads, 2);
  const plain = createCache<string>(cluster.engine(), "plain", { load: source.load });
  for (let i = 0; i < 3; i++) await cluster.run(plain.get("none"));
  assert.equal(source.loads, 5);
  await plain.close();
});

test("a value that vanished from the source does not leave its stale predecessor behind", async () => {
  await using cluster = createVirtualCluster();
  const source = createSource({ a: "old" });
  const cache = cluster.cache({ load: source.load, ttl: "1s", jitter: 0, staleWhileRevalidate: "1h" });
  await cluster.run(cache.get("a"));
  delete source.values["a"];
  await cluster.runtime.advance(1500);
  await cluster.run(cache.get("a"));
  await cluster.runtime.advance(50);
  assert.equal(await cluster.run(cache.get("a")), undefined);
});

test("refresh-ahead and early recomputation load before the end, behind the reader", async () => {
  for (const early of [{ refreshAhead: 0.5 }, { earlyRefresh: 100 }]) {
    await using cluster = createVirtualCluster();
    const source = createSource({ a: "old" });
    const load = async (key: string) => {
      await new Promise<void>((resolve) => void cluster.runtime.timers.after(200, resolve));
      return source.load(key);
    };
    const cache = cluster.cache({ load, ttl: "10s", jitter: 0, ...early });
    await cluster.run(cache.get("a"));
    source.values["a"] = "new";
    await cluster.runtime.advance(6000);
    assert.equal(await cluster.run(cache.get("a")), "old");
    for (let i = 0; i < 5; i++) await cluster.run(cache.get("a"));
    await cluster.runtime.advance(300);
    assert.equal(await cluster.run(cache.get("a")), "new");
    assert.ok(source.loads >= 2, JSON.stringify(early));
    assert.equal(cache.stats().misses, 1);
  }
});

test("a value too large for the engine is given out and not cached, and takes its predecessor with it", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const source = createSource({ a: "small" });
  const cache = cluster.cache({ load: source.load, ttl: "1s", jitter: 0, staleWhileRevalidate: "1h" }, engine);
  await cluster.run(cache.get("a"));
  const large = "x".repeat(engine.limits.valueBytes + 1);
  source.values["a"] = large;
  await cluster.runtime.advance(1500);
  await cluster.run(cache.get("a"));
  await cluster.runtime.advance(50);
  assert.equal(await cluster.run(cache.get("a")), large);
  assert.ok(cache.stats().tooLarge >= 1);
  await cluster.run(cache.set("b", "before"));
  await assert.rejects(cluster.run(cache.set("b", large)), { code: "LIMIT" });
  assert.equal(await cluster.run(cache.get("b")), "before");
});

test("a caller who leaves gets its reason, and the load goes on for the others", async () => {
  await using cluster = createVirtualCluster();
  const answer = Promise.withResolvers<string>();
  const cache = cluster.cache({ load: () => answer.promise });
  const leaving = new AbortController();
  const left = cache.get("a", { signal: leaving.signal }).catch((error: Error) => error.message);
  const stays = cache.get("a");
  await cluster.runtime.advance(20);
  leaving.abort(new Error("enough"));
  assert.equal(await cluster.run(left), "enough");
  answer.resolve("1");
  assert.equal(await cluster.run(stays), "1");
});

test("a load that takes longer than loadTimeout is aborted, and the key is free again", async () => {
  await using cluster = createVirtualCluster();
  let signal: AbortSignal | undefined;
  let slow = true;
  const load = (_: string, context: { readonly signal: AbortSignal }) => {
    signal = context.signal;
    return slow ? new Promise<string>(() => {}) : "1";
  };
  const cache = cluster.cache({ load, loadTimeout: "1s" });
  await assert.rejects(cluster.run(cache.get("a")), { code: "TIMEOUT" });
  assert.equal(signal?.aborted, true);
  slow = false;
  assert.equal(await cluster.run(cache.get("a")), "1");
});

test("closing aborts what is under way, twice without harm, and refuses what comes after", async () => {
  await using cluster = createVirtualCluster();
  const cache = cluster.cache({ load: () => new Promise<string>(() => {}), local: { maxEntries: 5 } });
  const read = cache.get("a").catch((error: unknown) => error);
  await cluster.runtime.advance(20);
  await cluster.run(Promise.all([cache.close(), cache.close()]));
  assert.ok(isAshlarError(await cluster.run(read), "CLOSED"));
  await assert.rejects(cache.get("a"), { code: "CLOSED" });
  await assert.rejects(cache.invalidate("a"), { code: "CLOSED" });
});

test("bad options and arguments are refused by name", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const load = () => "1";
  const bad: [string, unknown][] = [
    ["options.tll", { tll: "1h" }],
    ["options.ttl", { ttl: "0s" }],
    ["options.jitter", { jitter: 2 }],
    ["options.staleWhileRevalidate", { staleWhileRevalidate: "1d" }],
    ["options.onUnavailable", { onUnavailable: "load" }],
    ["options.onUnavailable", { load, onUnavailable: "retry" }],
    ["options.store", { write: "behind" }],
    ["options.write", { store: load, write: "back" }],
    ["options.local.maxEntries", { local: {} }],
    ["options.local.ttl", { local: { maxEntries: 1, ttl: 5 } }],
    ["options.coherent", { coherent: "yes" }],
    ["options.load", { load: 5 }],
    ["options.maxBacklog", { maxBacklog: 0 }],
  ];
  for (const [name, options] of bad) {
    assert.throws(
      () => createCache(engine, "products", options as CacheOptions<string>),
      (error) => isAshlarError(error, "INVALID_ARGUMENT") && error.details["name"] === name,
      name,
    );
  }
  assert.throws(() => createCache(engine, "", {}), { code: "INVALID_ARGUMENT" });
  const cache = cluster.cache<string>({ ttl: "1m" });
  await assert.rejects(cache.get(""), { code: "INVALID_ARGUMENT" });
  await assert.rejects(cache.set("a", undefined as never), { code: "INVALID_ARGUMENT" });
  await assert.rejects(cache.set("a", "1", { ttl: "2m" }), { code: "INVALID_ARGUMENT" });
  const many = Array.from({ length: 21 }, (_, i) => `t${i}`);
  await assert.rejects(cache.set("a", "1", { tags: many }), { code: "INVALID_ARGUMENT" });
});
