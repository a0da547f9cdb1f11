import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds, type TestStore } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Engine } from "../../engine/index.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { createQuorumLocks, type QuorumLock } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`quorum locks over three stores of ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const over = (fn: (stores: readonly TestStore[]) => Promise<void>) => async () => {
    await using one = await kind.create();
    await using two = await kind.create();
    await using three = await kind.create();
    await fn([one, two, three]);
  };
  const open = (stores: readonly TestStore[]) => Promise.all(stores.map((store) => store.open()));

  test(
    "one holder at a time, with ascending tokens",
    over(async (stores) => {
      const a = createQuorumLocks(await open(stores), { owner: "a" });
      const b = createQuorumLocks(await open(stores), { owner: "b" });
      const lock = await a.acquire("l");
      assert.deepEqual([lock.name, lock.held, lock.signal.aborted], ["l", true, false]);
      assert.equal(await b.tryAcquire("l"), undefined);
      await assert.rejects(b.acquire("l", { timeout: 30 }), code("TIMEOUT"));
      assert.ok(await b.tryAcquire("another"));
      const seen = await b.inspect("l");
      assert.deepEqual(
        seen.map((each) => each && "owner" in each && each.owner),
        ["a", "a", "a"],
      );
      await lock.release();
      await lock.release();
      assert.equal(lock.held, false);
      await using next = await b.acquire("l");
      assert.ok(next.token > lock.token);
    }),
  );

  test(
    "those who contend are all served, one after the other",
    over(async (stores) => {
      const engines = await Promise.all([open(stores), open(stores), open(stores)]);
      let inside = 0;
      const tokens: number[] = [];
      await Promise.all(
        engines.map(async (each) => {
          const locks = createQuorumLocks(each, { retryDelay: 20 });
          for (let i = 0; i < 5; i++) {
            await locks.withLock("l", async (lock) => {
              assert.equal(++inside, 1);
              tokens.push(lock.token);
              await new Promise(setImmediate);
              inside--;
            });
          }
        }),
      );
      assert.equal(tokens.length, 15);
      assert.deepEqual(
        tokens.toSorted((x, y) => x - y),
        tokens,
      );
      assert.equal(new Set(tokens).size, 15);
    }),
  );

  test(
    "whichever minority is away, and tokens ascend over different majorities",
    over(async (stores) => {
      let before = 0;
      for (const away of [0, 1, 2]) {
        const engines = await open(stores);
        await engines[away]?.close();
        await using lock = await createQuorumLocks(engines).acquire("l");
        assert.ok(lock.token > before, `${lock.token} after ${before}`);
        before = lock.token;
      }
    }),
  );

  test(
    "without a majority nothing is held, and the error says so",
    over(async (stores) => {
      const engines = await open(stores);
      await Promise.all([engines[0]?.close(), engines[2]?.close()]);
      const locks = createQuorumLocks(engines);
      await assert.rejects(locks.tryAcquire("l"), code("UNAVAILABLE"));
      await assert.rejects(locks.acquire("l", { timeout: 50 }), code("UNAVAILABLE"));
      const [first, , third] = await locks.inspect("l");
      assert.ok(first instanceof Error && third instanceof Error);
      // The vote of the attempt in vain is taken back in the background.
      while ((await locks.inspect("l"))[1] !== undefined);
      const healthy = createQuorumLocks(await open(stores));
      await using lock = await healthy.acquire("l");
      assert.ok(lock.held);
    }),
  );
}

interface Setting {
  readonly runtime: ManualRuntime;
  readonly stores: readonly MemoryStore[];
  readonly engines: readonly Engine[];
  /** Makes the engine hang: no answer, until the caller gives up. */
  hang(engine: number): void;
  another(): readonly Engine[];
}

/** Three stores in virtual time. */
function virtual(): Setting {
  const runtime = createManualRuntime();
  const stores = [0, 1, 2].map(() => new MemoryStore(runtime));
  const hanging = new Set<number>();
  const another = () => stores.map((store) => openMemory({ store, runtime }));
  const engines = another().map((engine, i) => {
    const { kv } = engine;
    const tryCommit: typeof kv.tryCommit = (batch, options) => {
      if (!hanging.has(i)) return kv.tryCommit(batch, options);
      return new Promise((_, reject) =>
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason as Error)),
      );
    };
    const wrapped = new Proxy(kv, {
      get: (target, name) => (name === "tryCommit" ? tryCommit : Reflect.get(target, name, target)),
    });
    return new Proxy(engine, {
      get: (target, name) => (name === "kv" ? wrapped : Reflect.get(target, name, target)),
    });
  });
  return { runtime, stores, engines, hang: (engine) => void hanging.add(engine), another };
}

/** Moves the time on until the promise is settled. */
async function inTime<T>(runtime: ManualRuntime, promise: Promise<T>): Promise<T> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let i = 0; i < 10_000 && !settled; i++) await runtime.advance(10);
  return await promise;
}

test("it is renewed for as long as the process lives, and passes to others after its death", async () => {
  const { runtime, engines, another } = virtual();
  const locks = createQuorumLocks(engines, { ttl: "2s" });
  const lock = await inTime(runtime, locks.acquire("l"));
  const others = createQuorumLocks(another(), { ttl: "2s" });
  for (let i = 0; i < 30; i++) {
    await runtime.advance(500);
    assert.ok(lock.held && lock.remaining > 0);
    assert.equal(await inTime(runtime, others.tryAcquire("l")), undefined);
  }
  await Promise.all(engines.map((engine) => engine.close()));
  const next = await inTime(runtime, others.acquire("l"));
  assert.equal(lock.held, false);
  assert.ok(next.token > lock.token);
  await inTime(runtime, next.release());
});

test("a minority that hangs delays no longer than its timeout; a majority that hangs loses the lock before others can have it", async () => {
  const { runtime, engines, hang, another } = virtual();
  const locks = createQuorumLocks(engines, { ttl: "2s", engineTimeout: 100 });
  hang(0);
  const since = runtime.clock.monotonic();
  const lock = await inTime(runtime, locks.acquire("l"));
  assert.ok(runtime.clock.monotonic() - since <= 200);
  await runtime.advance(10_000);
  assert.ok(lock.held);
  hang(1);
  const lost = new Promise((resolve) => lock.signal.addEventListener("abort", () => resolve(lock.signal.reason)));
  const others = createQuorumLocks(another(), { ttl: "2s" });
  const next = inTime(
    runtime,
    others.acquire("l").then((granted) => {
      assert.equal(lock.held, false);
      assert.ok(granted.token > lock.token);
      return granted;
    }),
  );
  assert.ok(code("LEASE_LOST")(await inTime(runtime, lost)));
  await inTime(runtime, (await next).release());
  await inTime(runtime, lock.release());
});

test("a function whose lock is lost meanwhile is told", async () => {
  const { runtime, engines, hang } = virtual();
  const locks = createQuorumLocks(engines, { ttl: "1s" });
  const work = locks.withLock("l", async (lock: QuorumLock) => {
    hang(0);
    hang(1);
    await new Promise((resolve) => lock.signal.addEventListener("abort", resolve));
  });
  await assert.rejects(inTime(runtime, work), code("LEASE_LOST"));
});

test("who gives up holds nothing afterwards", async () => {
  const { runtime, engines, hang, another } = virtual();
  hang(0);
  hang(1);
  const controller = new AbortController();
  const waiting = createQuorumLocks(engines).acquire("l", { signal: controller.signal });
  await runtime.advance(20);
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  const others = createQuorumLocks(another());
  const lock = await inTime(runtime, others.acquire("l"));
  await inTime(runtime, lock.release());
  await assert.rejects(others.acquire("l", { signal: controller.signal }), /enough/);
  await assert.rejects(others.tryAcquire("l", { signal: controller.signal }), /enough/);
});

test("what happens is announced", async () => {
  await using one = openMemory();
  await using two = openMemory();
  await using three = openMemory();
  const events: unknown[] = [];
  const listeners = ["acquired", "refused"].map((event) => {
    const listen = (message: unknown) => {
      const { owner, reason } = message as { owner: string; reason?: string };
      events.push([event, owner, reason]);
    };
    subscribe(`ashlar:quorum-lock:${event}`, listen);
    return () => unsubscribe(`ashlar:quorum-lock:${event}`, listen);
  });
  await using _ = await createQuorumLocks([one, two, three], { owner: "a" }).acquire("announced");
  await createQuorumLocks([one, two, three], { owner: "b" }).tryAcquire("announced");
  for (const stop of listeners) stop();
  assert.deepEqual(events, [
    ["acquired", "a", undefined],
    ["refused", "b", "held"],
  ]);
});

test("bad arguments are refused", async () => {
  await using engine = openMemory();
  assert.throws(() => createQuorumLocks([]), /engines/);
  assert.throws(() => createQuorumLocks([engine, engine]), /engines/);
  assert.throws(() => createQuorumLocks([engine], { ttl: 10 }), /ttl/);
  assert.throws(() => createQuorumLocks([engine], { ttl: "1s", engineTimeout: 300 }), /engineTimeout/);
  assert.throws(() => createQuorumLocks([engine], { drift: 0.5 }), /drift/);
  assert.throws(() => createQuorumLocks([engine], { owner: "" }), /owner/);
  assert.throws(() => createQuorumLocks([engine], { tll: 10 } as object), /tll/);
  const locks = createQuorumLocks([engine]);
  await assert.rejects(locks.acquire(""), /name/);
  await assert.rejects(locks.acquire("l", { timeout: -1 }), /timeout/);
});
