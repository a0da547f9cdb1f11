import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createSemaphore, type Hold } from "./index.ts";
import { claimsIn, waiting } from "./testing/queue.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`semaphores on ${kind.name}`, { skip: kind.skip, timeout: 60_000 }, () => factsOn(kind));
}

/** What the store counts as used. */
async function usedOf(engine: Engine, name: string): Promise<number> {
  return ((await engine.kv.get<number>(["lock", "semaphore", name, "used"]))?.value ?? 0) as number;
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "as many hold as there are permits, whichever client asks",
    on(async (a, b) => {
      const [ours, theirs] = [createSemaphore(a, "s", { permits: 3 }), createSemaphore(b, "s", { permits: 3 })];
      assert.equal(ours.permits, 3);
      const two = await ours.acquire({ permits: 2 });
      const one = await theirs.acquire();
      assert.ok(one.token > two.token);
      assert.equal(await theirs.tryAcquire(), undefined);
      assert.equal(await usedOf(a, "s"), 3);
      await two.release();
      assert.equal(await theirs.tryAcquire({ permits: 3 }), undefined);
      const again = await theirs.tryAcquire({ permits: 2 });
      assert.ok(again);
      await Promise.all([one.release(), again.release(), two.release()]);
      assert.equal(await usedOf(a, "s"), 0);
      const all = await ours.tryAcquire({ permits: 3 });
      assert.ok(all?.held);
    }),
  );

  test(
    "many come and go, and never too many are inside",
    on(async (a, b) => {
      let inside = 0;
      let most = 0;
      const work = async (engine: Engine, permits: number): Promise<void> => {
        for (let i = 0; i < 4; i++) {
          await createSemaphore(engine, "s", { permits: 3 }).withPermits(
            async () => {
              inside += permits;
              most = Math.max(most, inside);
              await engine.kv.get(["somewhere"]);
              inside -= permits;
            },
            { permits },
          );
        }
      };
      await Promise.all([work(a, 1), work(b, 1), work(a, 2), work(b, 2), work(a, 3), work(b, 1)]);
      assert.equal(most, 3);
      assert.deepEqual([await claimsIn(a), await usedOf(a, "s")], [[], 0]);
    }),
  );

  test(
    "who wants much is not overtaken by who wants little",
    on(async (a, b) => {
      const [ours, theirs] = [createSemaphore(a, "s", { permits: 3 }), createSemaphore(b, "s", { permits: 3 })];
      const [one, two] = [await ours.acquire(), await ours.acquire()];
      const large = theirs.acquire({ permits: 3 });
      await waiting(a, "s", 1, "semaphore");
      // One is free, but somebody waits for it.
      assert.equal(await ours.tryAcquire(), undefined);
      const small = theirs.acquire();
      await waiting(a, "s", 2, "semaphore");
      await one.release();
      assert.equal(await ours.tryAcquire(), undefined);
      await two.release();
      const first = await large;
      await waiting(a, "s", 1, "semaphore");
      await first.release();
      assert.ok((await small).token > first.token);
    }),
  );

  test(
    "a large claim that gives up lets the small ones behind it pass",
    on(async (a, b) => {
      const [ours, theirs] = [createSemaphore(a, "s", { permits: 3 }), createSemaphore(b, "s", { permits: 3 })];
      await ours.acquire();
      const controller = new AbortController();
      const large = assert.rejects(theirs.acquire({ permits: 3, signal: controller.signal }), { name: "AbortError" });
      await waiting(a, "s", 1, "semaphore");
      const small = [theirs.acquire(), theirs.acquire()];
      await waiting(a, "s", 3, "semaphore");
      controller.abort();
      await large;
      assert.deepEqual(
        (await Promise.all(small)).map(({ held }) => held),
        [true, true],
      );
      await waiting(a, "s", 0, "semaphore");
    }),
  );

  test(
    "permits whose holder lost its lease are free for who waits and for who tries, and their fence is void",
    on(async (a, b) => {
      const [ours, theirs] = [createSemaphore(a, "s", { permits: 2 }), createSemaphore(b, "s", { permits: 2 })];
      const lost = await ours.acquire({ permits: 2 });
      const waits = theirs.acquire();
      await waiting(b, "s", 1, "semaphore");
      await b.kv.delete(["lease", lost.lease]);
      const one = await waits;
      assert.equal(await usedOf(b, "s"), 1);
      const two = await theirs.tryAcquire();
      assert.ok(two);
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], 1), { fence: lost }),
        code("LEASE_LOST"),
      );
      await lost.release();
      assert.equal(await usedOf(b, "s"), 2);
      await b.transact((tx) => tx.set(["k"], 1), { fence: [one, two] });
    }),
  );

  test(
    "a try clears away holders whose leases have ended",
    on(async (a, b) => {
      const lost = await createSemaphore(a, "s", { permits: 2 }).acquire({ permits: 2 });
      await b.kv.delete(["lease", lost.lease]);
      assert.ok(await createSemaphore(b, "s", { permits: 2 }).tryAcquire({ permits: 2 }));
      // Who does not know yet that its permits are gone gives nothing back.
      assert.equal(lost.held, true);
      await lost.release();
      assert.equal(await usedOf(b, "s"), 2);
    }),
  );
}

test("holders with different numbers of permits keep to their own", async () => {
  await using engine = openMemory();
  const [few, many] = [createSemaphore(engine, "s", { permits: 2 }), createSemaphore(engine, "s", { permits: 4 })];
  await many.acquire({ permits: 2 });
  assert.equal(await few.tryAcquire(), undefined);
  assert.ok(await many.tryAcquire({ permits: 2 }));
});

test("what can be taken without waiting is what a counter says", async () => {
  const steps = fc.array(fc.oneof(fc.record({ take: fc.integer({ min: 1, max: 5 }) }), fc.record({ give: fc.nat() })));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 5, max: 7 }), steps, async (permits, moves) => {
      await using engine = openMemory();
      const semaphore = createSemaphore(engine, "s", { permits });
      const held: { readonly hold: Hold; readonly weight: number }[] = [];
      let free = permits;
      for (const move of moves) {
        if ("take" in move) {
          const hold = await semaphore.tryAcquire({ permits: move.take });
          assert.equal(hold !== undefined, move.take <= free);
          if (!hold) continue;
          held.push({ hold, weight: move.take });
          free -= move.take;
        } else {
          const [given] = held.splice(move.give % Math.max(1, held.length), 1);
          await given?.hold.release();
          free += given?.weight ?? 0;
        }
        assert.equal(await usedOf(engine, "s"), permits - free);
      }
    }),
    { numRuns: 60 },
  );
});

test("bad options are named", async () => {
  await using engine = openMemory();
  for (const permits of [0, -1, 1.5, Number.NaN, 1_000_001, "3", undefined])
    assert.throws(() => createSemaphore(engine, "s", { permits: permits as number }), /permits/, `permits ${permits}`);
  assert.throws(() => createSemaphore(engine, "", { permits: 1 }), /name/);
  const semaphore = createSemaphore(engine, "s", { permits: 2 });
  for (const permits of [0, 3, 0.5]) await assert.rejects(semaphore.acquire({ permits }), /permits/);
  await assert.rejects(semaphore.tryAcquire({ permits: 3 }), /from 1 to 2/);
});
