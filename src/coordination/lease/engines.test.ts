import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { leasesOf } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`leases on ${kind.name}`, { skip: kind.skip, timeout: 60_000 }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
  const forever = { signal: new AbortController().signal };

  test(
    "a lease lasts for all to see, and is renewed as long as it is used",
    on(async (a, b) => {
      const lease = await leasesOf(a).acquire(600);
      assert.equal(await leasesOf(b).lives(lease.id), true);
      assert.deepEqual(await leasesOf(b).living([lease.id, "never was", lease.id]), new Set([lease.id]));
      let renewals = -1;
      for await (const changes of b.kv.watch({ key: leasesOf(b).keyOf(lease.id) })) {
        assert.ok(changes.every(({ deleted }) => !deleted));
        // Four thirds of its time to live.
        if (++renewals === 4) break;
      }
      assert.deepEqual([lease.held, lease.signal.aborted], [true, false]);
      assert.ok(lease.remaining > 0 && lease.remaining <= 600 * 0.98);
    }),
  );

  test(
    "the end of a lease is heard of by who waits for it, whether it ran out or was given up",
    on(async (a, b) => {
      await a.kv.set(leasesOf(a).keyOf("runs out"), 200, { ttl: 200 });
      await leasesOf(b).gone("runs out", forever);
      assert.equal(await leasesOf(b).lives("runs out"), false);
      const leases = leasesOf(a);
      const lease = await leases.acquire("1h");
      const gone = leasesOf(b).gone(lease.id, forever);
      await a.close();
      await gone;
      assert.deepEqual([lease.held, lease.remaining], [false, 0]);
      await assert.rejects(leases.acquire("1h"), code("CLOSED"));
    }),
  );

  test(
    "a fenced transaction commits while the lease is there, whatever its renewals, and not afterwards",
    on(async (a, b) => {
      const lease = await leasesOf(a).acquire("10s");
      await a.transact(
        async (tx) => {
          tx.set(["k"], 1);
          // As a renewal does, between the first read and the commit.
          await b.kv.set(leasesOf(b).keyOf(lease.id), 10_000, { ttl: "10s" });
        },
        { fence: lease },
      );
      await assert.rejects(
        a.scope("deep").transact(
          async (tx) => {
            tx.set(["k"], 2);
            await b.kv.delete(leasesOf(b).keyOf(lease.id));
          },
          { fence: lease },
        ),
        code("LEASE_LOST"),
      );
      assert.deepEqual([(await b.kv.get(["k"]))?.value, await b.scope("deep").kv.get(["k"])], [1, undefined]);
      assert.deepEqual([lease.held, lease.signal.aborted], [false, true]);
      assert.notEqual((await leasesOf(a).acquire("10s")).id, lease.id);
    }),
  );
}
