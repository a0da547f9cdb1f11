import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createLocks, type Lock } from "./index.ts";
import { claimsIn, waiting } from "./testing/queue.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`locks on ${kind.name}`, { skip: kind.skip, timeout: 60_000 }, () => {
    exclusion(kind);
    queues(kind);
    losses(kind);
  });
}

/** A fact with two clients of one store. */
function withTwo(kind: StoreKind, fn: (a: Engine, b: Engine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
}

function exclusion(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => withTwo(kind, fn);

  test(
    "one holds at a time, whichever client asks, and tokens ascend",
    on(async (a, b) => {
      const [ours, theirs] = [createLocks(a), createLocks(b)];
      let last = 0;
      for (let round = 0; round < 5; round++) {
        const [mine, yours] = round % 2 === 0 ? [ours, theirs] : [theirs, ours];
        const lock = await mine.acquire("x");
        assert.deepEqual([lock.held, lock.names, lock.tokens], [true, ["x"], { x: lock.token }]);
        assert.ok(lock.token > last);
        last = lock.token;
        assert.equal(await yours.tryAcquire("x"), undefined);
        assert.equal(await mine.tryAcquire("x"), undefined);
        await lock.release();
        assert.deepEqual([lock.held, lock.remaining], [false, 0]);
      }
      const free = await theirs.tryAcquire("x");
      assert.ok(free && free.token > last);
      await free.release();
      assert.deepEqual(await claimsIn(a), []);
    }),
  );

  test(
    "withLock gives the result or the error of its function, and releases",
    on(async (a, b) => {
      const locks = createLocks(a);
      assert.equal(await locks.withLock("x", ({ held }) => (held ? "done" : "not held")), "done");
      const error = new Error("no");
      await assert.rejects(
        locks.withLock(["x", "y"], () => Promise.reject(error)),
        error,
      );
      assert.ok(await createLocks(b).tryAcquire(["y", "x"]));
    }),
  );

  test(
    "increments under a lock are never lost",
    on(async (a, b) => {
      const one = async (engine: Engine): Promise<void> => {
        for (let i = 0; i < 10; i++) {
          await createLocks(engine).withLock("counter", async (lock) => {
            const count = (await engine.kv.get<number>(["count"]))?.value ?? 0;
            await engine.transact((tx) => tx.set(["count"], count + 1), { fence: lock });
          });
        }
      };
      await Promise.all([one(a), one(b), one(a), one(b)]);
      assert.equal((await a.kv.get(["count"]))?.value, 40);
    }),
  );

  test(
    "several locks come and go together, and their order does not matter",
    on(async (a, b) => {
      const both = await createLocks(a).acquire(["x", "y"]);
      assert.deepEqual(Object.keys(both.tokens), ["x", "y"]);
      assert.equal(both.token, both.tokens["x"]);
      assert.equal(await createLocks(b).tryAcquire("y"), undefined);
      await both.release();
      const take = async (engine: Engine, names: string[]): Promise<void> => {
        for (let i = 0; i < 8; i++) await createLocks(engine).withLock(names, () => {});
      };
      await Promise.all([take(a, ["x", "y"]), take(b, ["y", "x"]), take(a, ["y", "z"]), take(b, ["z", "x"])]);
      assert.deepEqual(await claimsIn(a), []);
    }),
  );

  test(
    "one that is busy keeps a claim on several from taking any of them",
    on(async (a, b) => {
      const busy = await createLocks(a).acquire("y");
      assert.equal(await createLocks(b).tryAcquire(["x", "y"]), undefined);
      await assert.rejects(createLocks(b).acquire(["x", "y", "z"], { timeout: 50 }), code("TIMEOUT"));
      await waiting(a, "x", 0);
      await (await createLocks(a).acquire(["x", "z"])).release();
      await busy.release();
    }),
  );

  test(
    "a release that is repeated, or made twice at once, gives back once",
    on(async (a, b) => {
      const lock = await createLocks(a).acquire("x");
      await Promise.all([lock.release(), lock.release()]);
      const next = await createLocks(b).acquire("x");
      await lock.release();
      await lock[Symbol.asyncDispose]();
      assert.equal(await createLocks(a).tryAcquire("x"), undefined);
      await b.transact((tx) => tx.set(["k"], 1), { fence: next });
    }),
  );

  test(
    "scopes have locks of their own",
    on(async (a, b) => {
      await createLocks(a.scope("one")).acquire("x");
      assert.ok(await createLocks(a.scope("two")).tryAcquire("x"));
      assert.ok(await createLocks(b).tryAcquire("x"));
      assert.equal(await createLocks(b.scope("one")).tryAcquire("x"), undefined);
    }),
  );
}

function queues(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => withTwo(kind, fn);

  test(
    "those who wait are served in the order in which they came, and that of one client exactly",
    on(async (a, b) => {
      const first = await createLocks(a).acquire("x");
      const order: number[] = [];
      const waits: Promise<void>[] = [];
      for (let i = 0; i < 8; i++) {
        waits.push(createLocks(i < 4 ? a : b).withLock("x", () => void order.push(i)));
        await waiting(a, "x", i + 1);
      }
      await first.release();
      await Promise.all(waits);
      // Clocks are estimates: clients that come within some milliseconds of each other may be served the other way round.
      assert.deepEqual(
        [order.filter((i) => i < 4), order.filter((i) => i >= 4)],
        [
          [0, 1, 2, 3],
          [4, 5, 6, 7],
        ],
      );
    }),
  );

  test(
    "who comes when others wait does not get by them",
    on(async (a, b) => {
      const [ours, theirs] = [createLocks(a), createLocks(b)];
      const holder = await ours.acquire(["x", "y"]);
      const waits = theirs.acquire(["x", "y"]);
      await waiting(a, "x", 1);
      await holder.release();
      // Whether it has been granted by now or not.
      assert.equal(await ours.tryAcquire("x"), undefined);
      assert.equal(await ours.tryAcquire("y"), undefined);
      await (await waits).release();
    }),
  );

  test(
    "a wait that times out or is aborted leaves the queue, and those behind it are served",
    on(async (a, b) => {
      const holder = await createLocks(a).acquire("x");
      const reason = new Error("enough");
      const controller = new AbortController();
      const aborted = assert.rejects(createLocks(b).acquire("x", { signal: controller.signal }), reason);
      await waiting(a, "x", 1);
      const patient = createLocks(a).acquire("x");
      await waiting(a, "x", 2);
      await assert.rejects(createLocks(b).acquire("x", { timeout: 50 }), code("TIMEOUT"));
      await waiting(a, "x", 2);
      controller.abort(reason);
      await aborted;
      await waiting(a, "x", 1);
      assert.equal((await createLocks(b).inspect("x")).holders.length, 1);
      await holder.release();
      assert.equal((await patient).held, true);
    }),
  );

  test(
    "an abort after the grant does not concern what is held",
    on(async (a) => {
      const controller = new AbortController();
      const lock = await createLocks(a).acquire("x", { signal: controller.signal, timeout: 5000 });
      controller.abort();
      assert.deepEqual([lock.held, lock.signal.aborted], [true, false]);
      await assert.rejects(createLocks(a).acquire("y", { signal: controller.signal }), { name: "AbortError" });
    }),
  );

  test(
    "a lock is handed to whom the holder names, ahead of the others",
    on(async (a, b) => {
      const [mine, theirs] = [createLocks(a, { owner: "a" }), createLocks(b, { owner: "b" })];
      const lock = await mine.acquire("x");
      const early = mine.acquire("x");
      await waiting(a, "x", 1);
      const named = theirs.acquire("x");
      await waiting(a, "x", 2);
      assert.equal(await lock.handOver("nobody"), false);
      assert.equal(lock.held, true);
      assert.equal(await lock.handOver("b"), true);
      const next = await named;
      assert.ok(next.token > lock.token);
      assert.deepEqual([lock.held, next.held], [false, true]);
      await b.transact((tx) => tx.set(["k"], 1), { fence: next });
      await assert.rejects(lock.handOver("a"), code("LEASE_LOST"));
      await next.release();
      assert.ok((await early).token > next.token);
      const several = await mine.acquire(["p", "q"]);
      await assert.rejects(several.handOver("b"), code("INVALID_STATE"));
    }),
  );

  test(
    "inspect tells who holds and who waits, in order",
    on(async (a, b) => {
      const [mine, theirs] = [createLocks(a, { owner: "a" }), createLocks(b, { owner: "b" })];
      const lock = await mine.acquire("x");
      const second = theirs.acquire("x");
      await waiting(a, "x", 1);
      // Of the same client: the clocks of two are not that exact.
      const third = createLocks(b).acquire("x");
      await waiting(a, "x", 2);
      const { holders, waiting: queue } = await theirs.inspect("x");
      assert.deepEqual(
        [...holders, ...queue].map(({ owner, weight, alive }) => [owner, weight, alive]),
        [
          ["a", 1, true],
          ["b", 1, true],
          [undefined, 1, true],
        ],
      );
      assert.ok(holders.every(({ since }) => Math.abs(since - a.runtime.clock.now()) < 60_000));
      await lock.release();
      await (await second).release();
      await (await third).release();
      assert.deepEqual(await mine.inspect("x"), { holders: [], waiting: [] });
    }),
  );
}

function losses(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => withTwo(kind, fn);
  /** As if the process had stood still for longer than the time to live. */
  const endLease = ({ lease }: Lock, engine: Engine) => engine.kv.delete(["lease", lease]);

  test(
    "who has lost its lease writes nothing, hears of it, and the next holds",
    on(async (a, b) => {
      const lock = await createLocks(a).acquire("x");
      const { signal } = lock;
      const next = createLocks(b).acquire("x");
      await waiting(b, "x", 1);
      await endLease(lock, b);
      const taken = await next;
      assert.ok(taken.token > lock.token);
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], "late"), { fence: lock }),
        code("LEASE_LOST"),
      );
      assert.deepEqual([lock.held, signal.aborted, await a.kv.get(["k"])], [false, true, undefined]);
      assert.ok(isAshlarError(signal.reason, "LEASE_LOST"));
      await b.transact((tx) => tx.set(["k"], "in time"), { fence: taken });
      await lock.release();
      assert.equal(taken.held, true);
    }),
  );

  test(
    "withLock tells that the lock was lost while its function ran",
    on(async (a, b) => {
      const locks = createLocks(a);
      await assert.rejects(
        locks.withLock("x", async (lock) => {
          await endLease(lock, b);
          await a.transact((tx) => tx.set(["k"], 1), { fence: lock }).catch(() => {});
          return "done";
        }),
        code("LEASE_LOST"),
      );
      assert.ok(await createLocks(b).acquire("x"));
    }),
  );

  test(
    "a lock that was given back is no fence",
    on(async (a) => {
      const lock = await createLocks(a).acquire("x");
      await lock.release();
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], 1), { fence: lock }),
        code("LEASE_LOST"),
      );
      assert.equal(await a.kv.get(["k"]), undefined);
    }),
  );

  test(
    "closing an engine gives up what it holds and what it waits for",
    on(async (a, b) => {
      const held = await createLocks(a).acquire("x");
      const other = await createLocks(b).acquire("y");
      const waits = assert.rejects(createLocks(a).acquire("y"), code("CLOSED"));
      await waiting(b, "y", 1);
      const next = createLocks(b).acquire("x");
      await waiting(b, "x", 1);
      const behind = createLocks(b).acquire("y");
      await waiting(b, "y", 2);
      await a.close();
      await waits;
      assert.ok((await next).token > held.token);
      assert.deepEqual([held.held, held.signal.aborted], [false, true]);
      await other.release();
      assert.equal((await behind).held, true);
      await assert.rejects(createLocks(b).acquire("x", { timeout: 20 }), code("TIMEOUT"));
      await held.release();
    }),
  );
}
