import assert from "node:assert/strict";
import { test } from "node:test";
import { createCache } from "./index.ts";
import { createVirtualCluster } from "./testing/virtual-time.ts";

test("write-through writes to the store of record first, and reads wait for it", async () => {
  await using cluster = createVirtualCluster();
  const record = new Map([["a", "old"]]);
  const answer = Promise.withResolvers<void>();
  const load = (key: string) => record.get(key);
  const store = async (key: string, value: string) => {
    await answer.promise;
    record.set(key, value);
  };
  const [writer, reader] = [cluster.cache({ load, store }), cluster.cache({ load, local: { maxEntries: 5 } })];
  assert.equal(await cluster.run(reader.get("a")), "old");
  const writing = writer.set("a", "new");
  await cluster.runtime.advance(50);
  const reading = reader.get("a");
  await cluster.runtime.advance(50);
  answer.resolve();
  assert.equal(await cluster.run(reading), "new");
  await cluster.run(writing);
  assert.equal(await cluster.run(reader.get("a")), "new");
});

test("a write-through that fails leaves the key empty, and the error is the store's", async () => {
  await using cluster = createVirtualCluster();
  const record = new Map([["a", "old"]]);
  const store = async (key: string, value: string) => {
    record.set(key, value);
    throw new Error("the answer was lost");
  };
  const cache = cluster.cache<string>({ load: (key) => record.get(key), store });
  await cluster.run(cache.get("a"));
  await assert.rejects(cluster.run(cache.set("a", "new")), /the answer was lost/);
  assert.equal(await cluster.run(cache.get("a")), "new");
});

test("a write-through whose claim was taken by another writer leaves the key empty rather than wrong", async () => {
  await using cluster = createVirtualCluster();
  const record = new Map<string, string>();
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const caches = answers.map((answer) =>
    cluster.cache<string>({
      load: (key) => record.get(key),
      store: async (key, value) => {
        await answer.promise;
        record.set(key, value);
      },
    }),
  );
  const [first, second] = caches;
  assert.ok(first && second);
  const writes = [first.set("a", "first")];
  await cluster.runtime.advance(20);
  writes.push(second.set("a", "second"));
  await cluster.runtime.advance(20);
  // The store of record takes them in the other order.
  answers[1]?.resolve();
  await cluster.runtime.advance(20);
  answers[0]?.resolve();
  await cluster.run(Promise.all(writes));
  assert.equal(await cluster.run(first.get("a")), "first");
  assert.equal(await cluster.run(second.get("a")), "first");
});

test("a write-through cannot be part of a transaction", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const cache = cluster.cache<string>({ store: () => {} }, engine);
  const work = engine.transact((tx) => cache.set("a", "1", { tx }));
  await assert.rejects(cluster.run(work), { code: "INVALID_ARGUMENT" });
});

test("write-behind applies what was accepted, in order for each key, with growing versions", async () => {
  await using cluster = createVirtualCluster();
  const applied: [string, string, number | undefined][] = [];
  const cache = cluster.cache<string>({
    write: "behind",
    store: (key, value, { version }) => void applied.push([key, value, version]),
  });
  for (let i = 0; i < 3; i++) {
    await cluster.run(cache.set("a", `a${i}`));
    await cluster.run(cache.set("b", `b${i}`));
  }
  await cluster.run(cache.flush());
  const of = (name: string) => applied.filter(([key]) => key === name);
  assert.deepEqual(of("a"), [
    ["a", "a0", 0],
    ["a", "a1", 2],
    ["a", "a2", 4],
  ]);
  assert.deepEqual(
    of("b").map(([, value]) => value),
    ["b0", "b1", "b2"],
  );
  assert.equal(cache.stats().applied, 6);
});

test("an accepted value is read before it is applied, even when its entry was invalidated", async () => {
  await using cluster = createVirtualCluster();
  const record = new Map([["a", "old"]]);
  let down = true;
  const store = (key: string, value: string) => {
    if (down) throw new Error("down");
    record.set(key, value);
  };
  const cache = cluster.cache<string>({ load: (key) => record.get(key), store, write: "behind" });
  await cluster.run(cache.set("a", "new"));
  await cluster.run(cache.invalidate("a"));
  assert.equal(await cluster.run(cache.get("a")), "new");
  await cluster.runtime.advance(30_000);
  assert.equal(await cluster.run(cache.get("a")), "new");
  assert.ok(cache.stats().writeFailures > 3);
  down = false;
  await cluster.run(cache.flush());
  assert.equal(record.get("a"), "new");
  record.set("a", "from elsewhere");
  await cluster.run(cache.invalidate("a"));
  assert.equal(await cluster.run(cache.get("a")), "from elsewhere");
});

test("a load that began before an accepted write does not store what it loaded", async () => {
  await using cluster = createVirtualCluster();
  const answer = Promise.withResolvers<string>();
  let down = true;
  const cache = cluster.cache<string>({
    load: () => answer.promise,
    write: "behind",
    store: () => {
      if (down) throw new Error("down");
    },
  });
  const reading = cache.get("a");
  await cluster.runtime.advance(20);
  await cluster.run(cache.set("a", "new"));
  answer.resolve("old");
  await cluster.run(reading);
  assert.equal(await cluster.run(cache.get("a")), "new");
  down = false;
  await cluster.run(cache.flush());
  assert.equal(await cluster.run(cache.get("a")), "new");
});

test("a full backlog refuses, and takes again when there is room", async () => {
  await using cluster = createVirtualCluster();
  let down = true;
  const cache = cluster.cache<string>({
    write: "behind",
    maxBacklog: 2,
    store: () => {
      if (down) throw new Error("down");
    },
  });
  await cluster.run(cache.set("a", "1"));
  await cluster.run(cache.set("b", "1"));
  await assert.rejects(cluster.run(cache.set("c", "1")), { code: "OVERLOADED" });
  assert.equal(await cluster.run(cache.get("c")), undefined);
  down = false;
  await cluster.run(cache.flush());
  await cluster.run(cache.set("c", "1"));
});

test("a write that fails does not hold up other keys, and a drainer that dies is replaced", async () => {
  await using cluster = createVirtualCluster();
  const applied: string[] = [];
  const first = cluster.process();
  const dying = createCache<string>(first.engine, "products", {
    write: "behind",
    store: (key, value) => {
      if (key === "stuck") throw new Error("down");
      applied.push(`${key}=${value} by the first`);
    },
  });
  await cluster.run(dying.set("stuck", "1"));
  await cluster.run(dying.set("free", "1"));
  await cluster.runtime.advance(100);
  assert.deepEqual(applied, ["free=1 by the first"]);
  first.freeze();
  const next = cluster.cache<string>({
    write: "behind",
    store: (key, value) => void applied.push(`${key}=${value} by the second`),
  });
  await cluster.run(next.flush());
  assert.deepEqual(applied.slice(1).sort(), ["free=1 by the second", "stuck=1 by the second"]);
});

test("an accepted write is part of the transaction that made it", async () => {
  await using cluster = createVirtualCluster();
  const engine = cluster.engine();
  const applied: string[] = [];
  const cache = cluster.cache<string>({ write: "behind", store: (key) => void applied.push(key) }, engine);
  const failed = engine.transact(async (tx) => {
    await cache.set("never", "1", { tx });
    throw new Error("rolled back");
  });
  await assert.rejects(cluster.run(failed));
  await cluster.run(engine.transact((tx) => cache.set("once", "1", { tx })));
  await cluster.run(cache.flush());
  assert.deepEqual(applied, ["once"]);
});
