import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createShardMap, type OwnedShard } from "./index.ts";
import { ownersOf, owns, settled } from "./testing/settled.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const options = { shards: 12, settle: 20 } as const;

for (const kind of storeKinds) {
  describe(`shard maps on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "shards are spread evenly, and who comes or goes moves its share and nothing else",
    on(async (a, b) => {
      const [onA, onB] = [createShardMap(a, "orders", options), createShardMap(b, "orders", options)];
      await using view = await onB.view();
      await onA.join({ worker: "one" });
      await onB.join({ worker: "two" });
      await onA.join({ worker: "three" });
      await settled(view, { one: 4, two: 4, three: 4 });
      const three = ownersOf(view);
      const four = await onB.join({ worker: "four" });
      await settled(view, { one: 3, two: 3, three: 3, four: 3 });
      const afterJoin = ownersOf(view);
      assert.deepEqual(
        three.filter((worker, shard) => worker !== afterJoin[shard]).length,
        3,
        "the least that gives the fourth its share",
      );
      await four.close();
      await settled(view, { one: 4, two: 4, three: 4 });
      const afterLeave = ownersOf(view);
      assert.deepEqual(
        afterJoin.flatMap((worker, shard) => (worker === afterLeave[shard] ? [] : [worker])),
        ["four", "four", "four"],
      );
    }),
  );

  test(
    "the next owner has a shard after onRevoke has ended, and not before",
    on(async (a, b) => {
      const gate = Promise.withResolvers<void>();
      const asked = Promise.withResolvers<OwnedShard>();
      const order: string[] = [];
      const one = await createShardMap(a, "orders", { shards: 2, settle: 0 }).join({
        worker: "one",
        async onRevoke(shard, { owned }) {
          asked.resolve(owned);
          await gate.promise;
          await a.transact((tx) => tx.set(["state", shard], "written down"), { fence: owned });
          order.push("finished");
        },
      });
      await owns(one, 2);
      const two = await createShardMap(b, "orders", { shards: 2, settle: 0 }).join({ worker: "two" });
      const handed = await asked.promise;
      assert.equal(handed.held, true);
      assert.deepEqual([...one.owned], [0, 1], "it is owned until onRevoke ends");
      assert.equal(two.owned.size, 0);
      gate.resolve();
      const [shard] = await owns(two, 1);
      order.push("begun");
      assert.equal(shard, handed.shard);
      assert.deepEqual(order, ["finished", "begun"]);
      assert.equal((await b.kv.get(["state", handed.shard]))?.value, "written down");
      assert.ok(two.shard(handed.shard).epoch > handed.epoch);
    }),
  );

  test(
    "what was fenced by an owner before is refused",
    on(async (a, b) => {
      const one = await createShardMap(a, "orders", { shards: 1, settle: 0 }).join({ worker: "one" });
      await owns(one, 1);
      const before = one.shard(0);
      await a.transact((tx) => tx.set(["k"], 1), { fence: before });
      const two = await createShardMap(b, "orders", { shards: 1, settle: 0 }).join({ worker: "two" });
      // A commit that has passed the fence of this process, and meets that of the store.
      const late = Promise.withResolvers<void>();
      const inside = Promise.withResolvers<void>();
      const refused = assert.rejects(
        a.transact(
          async (tx) => {
            inside.resolve();
            await late.promise;
            tx.set(["k"], "late");
          },
          { fence: before },
        ),
        code("LEASE_LOST"),
      );
      await inside.promise;
      await one.close();
      await owns(two, 1);
      late.resolve();
      await refused;
      assert.equal(before.held, false);
      assert.ok(isAshlarError(before.signal.reason, "LEASE_LOST"));
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], "later"), { fence: before }),
        code("LEASE_LOST"),
      );
      await b.transact((tx) => tx.set(["k"], 2), { fence: two.shard(0) });
      assert.equal((await b.kv.get(["k"]))?.value, 2);
    }),
  );

  test(
    "the shards of a process that closes its engine go to the others at once",
    on(async (a, b) => {
      const one = await createShardMap(a, "orders", { ...options, ttl: "1h" }).join({ worker: "one" });
      await owns(one, 12);
      const [held] = [one.shard(3)];
      const two = await createShardMap(b, "orders", { ...options, ttl: "1h" }).join({ worker: "two" });
      await owns(two, 6);
      const watching = assert.rejects(Array.fromAsync(one.watch()), code("CLOSED"));
      await a.close();
      await owns(two, 12);
      await watching;
      assert.equal(one.owned.size, 0);
      assert.ok(isAshlarError(held.signal.reason, "LEASE_LOST"));
      await one.close();
    }),
  );

  test(
    "a view knows who owns what, its version ascends, and a refresh is as new as the store",
    on(async (a, b) => {
      const map = createShardMap(b, "orders", options);
      await using view = await map.view();
      assert.deepEqual([view.version, view.stale, view.ownerOf("k"), view.load().size], [0, false, undefined, 0]);
      const versions: number[] = [];
      const watching = (async () => {
        for await (const { version } of view.watch()) versions.push(version);
      })();
      const one = await createShardMap(a, "orders", options).join({ worker: "one", zone: "north" });
      await settled(view, { one: 12 });
      const two = await map.join({ worker: "two" });
      await settled(view, { one: 6, two: 6 });
      await two.close();
      await view.refresh();
      await settled(view, { one: 12 });
      await owns(one, 12);
      for (const key of ["k", ["user", 7]]) {
        const owner = view.ownerOf(key);
        assert.deepEqual(await map.ownerOf(key), owner);
        assert.deepEqual([owner?.worker, owner?.zone, owner?.shard], ["one", "north", map.shardOf(key)]);
        assert.equal(owner?.epoch, one.shard(map.shardOf(key)).epoch);
      }
      await view.close();
      await watching;
      assert.deepEqual(
        versions,
        versions.toSorted((x, y) => x - y),
      );
      assert.ok((versions.at(-1) as number) >= 3);
      assert.throws(() => view.owner(0), code("CLOSED"));
      await assert.rejects(view.refresh(), code("CLOSED"));
      await view.close();
    }),
  );

  test(
    "a map is not to be had with another number of shards",
    on(async (a, b) => {
      const early = await createShardMap(b, "orders", { shards: 13 }).view();
      await createShardMap(a, "orders", options).join({ worker: "one" });
      const other = createShardMap(b, "orders", { shards: 13 });
      const refused = (error: unknown): boolean =>
        isAshlarError(error, "INVALID_STATE") && /has 12 shards, not 13/.test(error.message);
      await assert.rejects(other.join({ worker: "two" }), refused);
      await assert.rejects(other.view(), refused);
      await assert.rejects(other.ownerOf("k"), refused);
      await settled(await createShardMap(b, "orders", options).view(), { one: 12 });
      assert.throws(() => early.owner(0), refused);
      await createShardMap(b.scope("elsewhere"), "orders", { shards: 13 }).join({ worker: "two" });
    }),
  );
}

test("weights say how much each has; weight 0 has nothing and distributes all the same", async () => {
  await using engine = openMemory();
  const map = createShardMap(engine, "orders", options);
  await using view = await map.view();
  await map.join({ worker: "none", weight: 0 });
  await map.join({ worker: "small" });
  await map.join({ worker: "big", weight: 3 });
  await settled(view, { none: 0, small: 3, big: 9 });
});

test("closing hands everything over, twice does no harm, and the watch ends with nothing", async () => {
  await using engine = openMemory();
  const map = createShardMap(engine, "orders", options);
  const revoked: number[] = [];
  const one = await map.join({ worker: "one", onRevoke: (shard) => void revoked.push(shard) });
  await owns(one, 12);
  const seen: number[] = [];
  const watching = (async () => {
    for await (const owned of one.watch()) seen.push(owned.size);
  })();
  const [first, second] = [one.close(), one.close()];
  await Promise.all([first, second, watching]);
  assert.equal(seen.at(-1), 0);
  assert.equal(revoked.length, 12);
  assert.throws(() => one.shard(0), code("LEASE_LOST"));
  const entries = await Array.fromAsync(
    engine.kv.list<{ owner?: object }>({ prefix: ["shard-map", "orders", "shard"] }),
  );
  assert.deepEqual([entries.length, entries.filter(({ value }) => value.owner).length], [12, 0]);
  assert.deepEqual(await Array.fromAsync(engine.kv.list({ prefix: ["shard-map", "orders", "member"] })), []);
});

test("two members of one process share a lease, and either leaves without the other", async () => {
  await using engine = openMemory();
  const map = createShardMap(engine, "orders", options);
  await using view = await map.view();
  const one = await map.join({ worker: "one" });
  const two = await map.join({ worker: "two" });
  await settled(view, { one: 6, two: 6 });
  assert.equal((await Array.fromAsync(engine.kv.list({ prefix: ["lease"] }))).length, 1);
  await one.close();
  await owns(two, 12);
});

test("bad arguments are named", async () => {
  await using engine = openMemory();
  for (const shards of [0, 1.5, 4097, Number.NaN, "8" as unknown as number])
    assert.throws(() => createShardMap(engine, "orders", { shards }), /shards/);
  assert.throws(() => createShardMap(engine, ""), /name/);
  assert.throws(() => createShardMap(engine, "orders", { ttl: 5 }), /ttl/);
  assert.throws(() => createShardMap(engine, "orders", { settle: "2m" }), /settle/);
  assert.throws(() => createShardMap(engine, "orders", { shard: 8 } as object), /shard/);
  const map = createShardMap(engine, "orders", options);
  await assert.rejects(map.join({ worker: "" }), /worker/);
  await assert.rejects(map.join({ worker: "one", weight: -1 }), /weight/);
  await assert.rejects(map.join({ worker: "one", weight: Number.NaN }), /weight/);
  await assert.rejects(map.join({ worker: "one", zone: "" }), /zone/);
  await assert.rejects(map.join({ worker: "one", grace: "1h" }), /grace/);
  await assert.rejects(map.join({ worker: "one", onRevoke: 1 as unknown as () => void }), /onRevoke/);
  await assert.rejects(map.join({ worker: "one", onRevoked: () => {} } as { worker: string }), /onRevoked/);
  await using view = await map.view();
  assert.throws(() => view.owner(12), /shard/);
  assert.throws(() => view.owner(-1), /shard/);
});

test("the shard of a key is the same in every release, and keys spread evenly", async () => {
  await using engine = openMemory();
  const map = createShardMap(engine, "orders", { shards: 64 });
  assert.deepEqual(
    ["", "a", "order-1", "Füße", ["user", 7], ["user", 8]].map((key) => map.shardOf(key)),
    [0, 15, 61, 38, 37, 49],
  );
  const counts = new Array<number>(64).fill(0);
  for (let i = 0; i < 64_000; i++)
    counts[map.shardOf(`order-${i}`)] = (counts[map.shardOf(`order-${i}`)] as number) + 1;
  // Chi-squared with 63 degrees of freedom: above 104 once in a thousand hash functions that are fair.
  const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  assert.ok(chi < 104, `chi-squared ${chi}`);
});
