import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeUnknownError, UnavailableError } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import { createCache } from "./index.ts";
import { createVirtualCluster } from "./testing/virtual-time.ts";

/** Makes reads and commits of the cache fail from now on. */
function cutOff({ kv }: Engine): void {
  const refuse = () => Promise.reject(new UnavailableError("the engine is away"));
  Object.assign(kv, { getMany: refuse, tryCommit: refuse });
}

test("while the engine is away, reads load, or take what copies there are, or fail, as one has chosen", async () => {
  await using cluster = createVirtualCluster();
  let value = "old";
  let loads = 0;
  const load = async () => {
    loads++;
    return value;
  };
  const local = { maxEntries: 10, maxStale: 1000 };
  const choices = ["load", "stale", "throw"] as const;
  const engines = choices.map(() => cluster.engine());
  const [loading, stale, fail] = choices.map((onUnavailable, i) =>
    cluster.cache<string>({ load, local, onUnavailable }, engines[i]),
  );
  assert.ok(loading && stale && fail);
  for (const cache of [loading, stale, fail]) await cluster.run(cache.get("a"));
  for (const engine of engines) cutOff(engine);
  value = "new";
  await cluster.runtime.advance(2000);
  loads = 0;
  assert.deepEqual(await cluster.run(Promise.all([loading.get("a"), loading.get("a")])), ["new", "new"]);
  assert.equal(loads, 1);
  assert.equal(loading.stats().unavailable, 2);
  assert.equal(await cluster.run(stale.get("a")), "old");
  assert.equal(await cluster.run(stale.get("other")), "new");
  await assert.rejects(cluster.run(fail.get("a")), { code: "UNAVAILABLE" });
});

test("an engine that does not answer is away after engineTimeout", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  engine.kv.getMany = ((_: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)))) as never;
  const cache = cluster.cache({ load: () => "loaded", engineTimeout: 300 }, engine);
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(cache.get("a")), "loaded");
  assert.ok(cluster.runtime.clock.monotonic() - began < 400);
});

test("while the engine is away, local copies serve for maxStale, and nothing waits for it", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const local = { maxEntries: 10, maxStale: "5s" } as const;
  const cache = cluster.cache<string>({ load: () => "1", local, onUnavailable: "throw" }, engine);
  await cluster.run(cache.get("a"));
  cutOff(engine);
  await cluster.runtime.advance(4900);
  assert.equal(await cluster.run(cache.get("a")), "1");
  assert.equal(cache.stats().unavailable, 0);
  await cluster.runtime.advance(200);
  await assert.rejects(cluster.run(cache.get("a")), { code: "UNAVAILABLE" });
});

test("while the engine is away, a stale copy serves however old, until this process itself drops it", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const local = { maxEntries: 10, maxStale: "1s" } as const;
  const cache = cluster.cache<string>({ load: () => "1", ttl: "1h", local, onUnavailable: "stale" }, engine);
  await cluster.run(cache.getMany(["a", "b"]));
  await cluster.run(cache.invalidate("b"));
  cutOff(engine);
  await cluster.runtime.advance(600_000);
  assert.equal(await cluster.run(cache.get("a")), "1");
  assert.equal(cache.stats().staleServed, 1);
  assert.equal(cache.stats().loads, 2);
  await cluster.run(cache.get("b"));
  assert.equal(cache.stats().loads, 3);
});

test("a value that was loaded while the engine went away is given out, and not cached", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  let loads = 0;
  const load = () => {
    cutOff(engine);
    return String(++loads);
  };
  const cache = cluster.cache<string>({ load, tags: () => ["red"], onUnavailable: "throw" }, engine);
  assert.equal(await cluster.run(cache.get("a")), "1");
  await assert.rejects(cluster.run(cache.get("a")), { code: "UNAVAILABLE" });
  assert.equal(loads, 1);
  assert.equal(await cluster.run(cluster.cache<string>({}).get("a")), undefined);
});

test("a loader that hangs counts as failed after loadTimeout, and stale-if-error serves", async () => {
  await using cluster = createVirtualCluster();
  let hangs = false;
  const load = () => (hangs ? new Promise<string>(() => {}) : "old");
  const cache = cluster.cache({ load, loadTimeout: "2s", ttl: "1s", jitter: 0, staleIfError: "1m" });
  await cluster.run(cache.get("a"));
  await cluster.runtime.advance(1500);
  hangs = true;
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(cache.get("a")), "old");
  const took = cluster.runtime.clock.monotonic() - began;
  assert.ok(took >= 2000 && took < 2100, `${took} ms`);
});

test("a refresh that fails leaves the entry as it is until its end", async () => {
  await using cluster = createVirtualCluster();
  let down = false;
  const load = () => {
    if (down) throw new Error("down");
    return "1";
  };
  const cache = cluster.cache<string>({ load, ttl: "10s", jitter: 0, refreshAhead: 0.5 });
  await cluster.run(cache.get("a"));
  down = true;
  await cluster.runtime.advance(6000);
  for (let i = 0; i < 3; i++) assert.equal(await cluster.run(cache.get("a")), "1");
  assert.ok(cache.stats().loadFailures >= 1);
  await cluster.runtime.advance(5000);
  await assert.rejects(cluster.run(cache.get("a")), /down/);
});

test("while a process that died holds the single flight, stale-while-revalidate serves the others without waiting", async () => {
  await using cluster = createVirtualCluster();
  const options = { ttl: "1s", jitter: 0, staleWhileRevalidate: "1h", loadTimeout: "5s" } as const;
  const other = cluster.cache<string>({ ...options, load: () => "new" });
  await cluster.run(other.set("a", "old"));
  await cluster.runtime.advance(1500);
  const dying = cluster.process();
  const dead = createCache<string>(dying.engine, "products", { ...options, load: () => new Promise(() => {}) });
  assert.equal(await cluster.run(dead.get("a")), "old");
  await cluster.runtime.advance(50);
  dying.freeze();
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(other.get("a")), "old");
  assert.ok(cluster.runtime.clock.monotonic() - began < 100);
  await cluster.runtime.advance(10_000);
  await cluster.run(other.get("a"));
  await cluster.runtime.advance(100);
  assert.equal(await cluster.run(other.get("a")), "new");
});

test("a claim whose commit was not answered is taken back, so that nobody waits for it", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const tryCommit = engine.kv.tryCommit.bind(engine.kv);
  let lost = 0;
  engine.kv.tryCommit = async (...args) => {
    const result = await tryCommit(...args);
    if (lost++ === 0) throw new OutcomeUnknownError("the answer was lost");
    return result;
  };
  const cache = cluster.cache<string>({ load: () => "1", onUnavailable: "throw" }, engine);
  await assert.rejects(cluster.run(cache.get("a")), { code: "OUTCOME_UNKNOWN" });
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(cluster.cache<string>({ load: () => "2" }).get("a")), "2");
  assert.ok(cluster.runtime.clock.monotonic() - began < 1000);
});

test("a cache that closes in the middle of a load gives the single flight back", async () => {
  await using cluster = createVirtualCluster();
  const closing = cluster.cache<string>({ load: () => new Promise(() => {}) });
  const read = closing.get("a").catch(() => "left");
  await cluster.runtime.advance(20);
  await cluster.run(closing.close());
  const began = cluster.runtime.clock.monotonic();
  assert.equal(await cluster.run(cluster.cache<string>({ load: () => "1" }).get("a")), "1");
  assert.ok(cluster.runtime.clock.monotonic() - began < 100);
  assert.equal(await cluster.run(read), "left");
});

test("a caller who joins a load after a clear does not hear that there is nothing, as it was before", async () => {
  await using cluster = createVirtualCluster();
  const answers = [Promise.withResolvers<string | undefined>(), Promise.withResolvers<string | undefined>()];
  let loads = 0;
  const cache = cluster.cache<string>({ load: () => answers[loads++]?.promise });
  const first = cache.get("a");
  await cluster.runtime.advance(20);
  await cluster.run(cluster.cache<string>({}).clear());
  const second = cache.get("a");
  await cluster.runtime.advance(20);
  answers[0]?.resolve(undefined);
  answers[1]?.resolve("new");
  assert.equal(await cluster.run(first), undefined);
  assert.equal(await cluster.run(second), "new");
});

test("a process that dies in a write-through leaves the key empty: readers wait for its claim, then load", async () => {
  await using cluster = createVirtualCluster();
  const record = new Map([["a", "old"]]);
  const load = (key: string) => record.get(key);
  const other = cluster.cache<string>({ load, loadTimeout: "2s" });
  assert.equal(await cluster.run(other.get("a")), "old");
  const dying = cluster.process();
  const dead = createCache<string>(dying.engine, "products", {
    loadTimeout: "2s",
    store: (key, value) => {
      record.set(key, value);
      dying.freeze();
      return new Promise(() => {});
    },
  });
  void dead.set("a", "new").catch(() => {});
  await cluster.runtime.advance(50);
  assert.equal(record.get("a"), "new");
  assert.equal(await cluster.run(other.get("a")), "new");
});

test("a process that dies after write-behind has accepted loses nothing: others read it, and apply it in order", async () => {
  await using cluster = createVirtualCluster();
  const dying = cluster.process();
  const dead = createCache<string>(dying.engine, "products", {
    write: "behind",
    store: () => new Promise(() => {}),
  });
  for (let i = 0; i < 5; i++) await cluster.run(dead.set(i % 2 === 0 ? "even" : "odd", String(i)));
  dying.freeze();
  const applied: string[] = [];
  const record = new Map<string, string>();
  const next = cluster.cache<string>({
    write: "behind",
    load: (key) => record.get(key),
    store: (key, value) => {
      applied.push(`${key} ${value}`);
      record.set(key, value);
    },
  });
  await cluster.run(next.invalidate("even"));
  assert.equal(await cluster.run(next.get("even")), "4");
  assert.equal(applied.length, 0);
  await cluster.run(next.flush());
  assert.deepEqual(
    applied.filter((each) => each.startsWith("even")),
    ["even 0", "even 2", "even 4"],
  );
  assert.deepEqual(
    applied.filter((each) => each.startsWith("odd")),
    ["odd 1", "odd 3"],
  );
  await cluster.run(next.clear());
  assert.deepEqual(await cluster.run(next.getMany(["even", "odd"])), ["4", "3"]);
});

test("a key that is written all the time does not keep the drainer from moving on", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const writer = cluster.cache<number>({ write: "behind", store: () => {}, drain: false });
  const getMany = engine.kv.getMany.bind(engine.kv);
  let writes = 0;
  // Between the drainer's look at what is pending and its commit, another write is accepted.
  engine.kv.getMany = (async (...args: Parameters<typeof getMany>) => {
    const entries = await getMany(...args);
    if (args[0].some((key) => key.includes("pending")) && writes < 200) await writer.set("hot", ++writes);
    return entries;
  }) as typeof getMany;
  const applied: number[] = [];
  cluster.cache<number>({ write: "behind", store: (_, value) => void applied.push(value) }, engine);
  await cluster.run(writer.set("hot", 0));
  await cluster.run(writer.flush());
  assert.ok(writes < 10, `${writes} writes before the first was passed`);
  await cluster.runtime.advance(60_000);
  assert.deepEqual(
    applied,
    Array.from({ length: 201 }, (_, i) => i),
  );
});
