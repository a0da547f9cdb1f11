import assert from "node:assert/strict";
import { test } from "node:test";
import { storeKinds, type TestStore } from "../../test/stores.ts";
import type { Engine } from "../engine/index.ts";
import { createCache } from "./index.ts";

for (const { name, skip, create } of storeKinds) {
  const fact = (what: string, check: (store: TestStore, engine: Engine) => Promise<void>): void => {
    test(`${name}: ${what}`, { skip, timeout: 30_000 }, async () => {
      await using store = await create();
      await check(store, await store.open());
    });
  };

  fact("what one process loads, another finds, and one load serves both", async (store, engine) => {
    let loads = 0;
    const answer = Promise.withResolvers<void>();
    const load = async (key: string) => {
      loads++;
      await answer.promise;
      return { key, at: new Date(0), bytes: new Uint8Array([1, 2]) };
    };
    await using one = createCache(engine, "products", { load });
    await using two = createCache(await store.open(), "products", { load });
    const reads = [one.get("a"), two.get("a")];
    answer.resolve();
    const expected = { key: "a", at: new Date(0), bytes: new Uint8Array([1, 2]) };
    assert.deepEqual(await Promise.all(reads), [expected, expected]);
    assert.deepEqual(await two.get("a"), expected);
    assert.equal(loads, 1);
  });

  fact("invalidations by key, tag and altogether are seen at once", async (store, engine) => {
    await using one = createCache<number>(engine, "products", { tags: (value) => [`n${value % 2}`] });
    await using two = createCache<number>(await store.open(), "products", { tags: (value) => [`n${value % 2}`] });
    const keys = ["a", "b", "c"];
    for (const [i, key] of keys.entries()) await one.set(key, i);
    await two.invalidate("a");
    assert.deepEqual(await one.getMany(keys), [undefined, 1, 2]);
    await two.invalidateTag("n1");
    assert.deepEqual(await one.getMany(keys), [undefined, undefined, 2]);
    await two.clear();
    assert.deepEqual(await one.getMany(keys), [undefined, undefined, undefined]);
  });

  fact("a local copy hears of an invalidation in another process", async (store, engine) => {
    let value = 1;
    const load = () => value;
    await using near = createCache(engine, "products", { load, local: { maxEntries: 10, maxStale: "1h" } });
    await using other = createCache(await store.open(), "products", { load });
    assert.equal(await near.get("a"), 1);
    assert.equal(await near.get("a"), 1);
    assert.equal(near.stats().localHits, 1);
    value = 2;
    await other.invalidate("a");
    // Without the news it would be an hour.
    while ((await near.get("a")) !== 2)
      await new Promise((resolve) => engine.runtime.timers.immediate(() => resolve(0)));
  });

  fact("a load that an invalidation overtakes does not store what it loaded", async (store, engine) => {
    const started = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<string>();
    let next: Promise<string> = answer.promise;
    const load = () => {
      started.resolve();
      return next;
    };
    await using one = createCache(engine, "products", { load });
    await using two = createCache(await store.open(), "products", { load });
    const read = one.get("a");
    await started.promise;
    next = Promise.resolve("new");
    await two.invalidate("a");
    answer.resolve("old");
    await read;
    assert.equal(await two.get("a"), "new");
    assert.equal(one.stats().fenced, 1);
  });

  fact("write-behind takes effect with a transaction and reaches the store of record", async (_, engine) => {
    const written: unknown[] = [];
    await using cache = createCache<number>(engine, "products", {
      write: "behind",
      store: (key, value, { version }) => void written.push([key, value, version]),
    });
    await engine.transact(async (tx) => {
      tx.set(["order"], 1);
      await cache.set("a", 1, { tx });
    });
    await cache.set("a", 2);
    assert.equal(await cache.get("a"), 2);
    await cache.flush();
    assert.deepEqual(written, [
      ["a", 1, 0],
      ["a", 2, 1],
    ]);
  });
}
