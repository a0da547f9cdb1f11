import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { alone, open, type Process } from "../lease/testing/process.ts";
import { createLocks, createSemaphore, type LockMessage } from "./index.ts";
import { claimsIn, waiting } from "./testing/queue.ts";
import { together } from "./testing/together.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

/** What has become of a promise, once all that is ready has run. */
async function stateOf(promise: Promise<unknown>, runtime: ManualRuntime): Promise<"pending" | "done" | "failed"> {
  let state: "pending" | "done" | "failed" = "pending";
  promise.then(
    () => (state = "done"),
    () => (state = "failed"),
  );
  await runtime.advance(0);
  return state;
}

test("the fence checks the lease, though the process cannot know that it has ended", async () => {
  const engineTime = createManualRuntime();
  await using process = open(new MemoryStore(engineTime));
  const lock = await createLocks(process.engine, { ttl: "1s" }).acquire("x");
  await process.engine.transact((tx) => tx.set(["k"], 1), { fence: lock });
  await engineTime.advance(1001);
  // By its own reckoning, and by what stands under the name.
  assert.equal(lock.held, true);
  assert.equal((await claimsIn(process.engine)).length, 1);
  await assert.rejects(
    process.engine.transact((tx) => tx.set(["k"], 2), { fence: lock }),
    code("LEASE_LOST"),
  );
  assert.equal((await process.engine.kv.get(["k"]))?.value, 1);
  assert.deepEqual([lock.held, lock.signal.aborted], [false, true]);
});

test("the fence checks what is held, though the lease lasts", async () => {
  await using process = alone();
  const { engine } = process;
  const lock = await createLocks(engine).acquire(["x", "y"]);
  const { signal } = lock;
  await engine.transact((tx) => tx.set(["k"], 1), { fence: lock });
  const [, second] = await claimsIn(engine);
  await engine.kv.delete(second ?? []);
  assert.deepEqual([lock.held, (await engine.kv.get(["lease", lock.lease])) !== undefined], [true, true]);
  await assert.rejects(
    engine.transact((tx) => tx.set(["k"], 2), { fence: lock }),
    code("LEASE_LOST"),
  );
  assert.equal((await engine.kv.get(["k"]))?.value, 1);
  assert.deepEqual([lock.held, lock.remaining, signal.aborted], [false, 0, true]);
  // The lease is still good for others.
  assert.equal((await createLocks(engine).acquire("z")).held, true);
});

test("nothing is granted under a lease that has ended, and the next lease gets it", async () => {
  await using process = alone();
  const { engine, runtime } = process;
  const locks = createLocks(engine, { ttl: "3s" });
  const first = await locks.acquire("other");
  await engine.kv.delete(["lease", first.lease]);
  assert.equal(first.held, true);
  assert.equal(await locks.tryAcquire("x"), undefined);
  const before = await claimsIn(engine);
  assert.deepEqual(
    before.filter((key) => key[2] === "x"),
    [],
  );
  const wait = locks.acquire("x");
  // Until the heartbeat has noticed.
  await runtime.advance(3000);
  const lock = await wait;
  assert.notEqual(lock.lease, first.lease);
  await engine.transact((tx) => tx.set(["k"], 1), { fence: lock });
});

test("who waits is not granted anything under a lease that has ended", async () => {
  await using both = together(2);
  const [holder, other] = both.processes as [Process, Process];
  const lock = await createLocks(holder.engine).acquire("x");
  const wait = createLocks(other.engine, { ttl: "3s" }).acquire("x");
  await waiting(holder.engine, "x", 1);
  for await (const { key, value } of holder.engine.kv.list({ prefix: ["lease"] }))
    if (value === 3000) await holder.engine.kv.delete(key);
  await lock.release();
  await both.runtime.advance(0);
  assert.deepEqual(
    (await claimsIn(holder.engine)).filter((key) => key[3] === "held"),
    [],
  );
  await both.runtime.advance(4000);
  assert.equal((await wait).held, true);
});

test("the next has the lock of a process that died after its time to live, and not before", async () => {
  await using both = together(2);
  const [dying, other] = both.processes as [Process, Process];
  const lost = await createLocks(dying.engine, { ttl: "5s" }).acquire("x");
  const wait = createLocks(other.engine).acquire("x");
  await waiting(other.engine, "x", 1);
  await dying.die();
  await both.runtime.advance(4900);
  assert.equal(await stateOf(wait, both.runtime), "pending");
  await both.runtime.advance(1200);
  const next = await wait;
  assert.ok(next.token > lost.token);
  assert.deepEqual([lost.held, next.held], [false, true]);
});

test("those behind a waiter that died pass it by, after its time to live", async () => {
  await using three = together(3);
  const [holder, dying, other] = three.processes as [Process, Process, Process];
  const lock = await createLocks(holder.engine).acquire("x");
  const dead = createLocks(dying.engine, { ttl: "5s" }).acquire("x");
  dead.catch(() => {});
  await waiting(holder.engine, "x", 1);
  await three.runtime.advance(50);
  const wait = createLocks(other.engine).acquire("x", { timeout: "1h" });
  await waiting(holder.engine, "x", 2);
  await dying.die();
  await lock.release();
  assert.equal(await stateOf(wait, three.runtime), "pending");
  await three.runtime.advance(6100);
  assert.equal((await wait).held, true);
});

test("claims of several processes are served in the order of their clocks", async () => {
  await using four = together(4);
  const { runtime, processes } = four;
  const [first] = processes as [Process];
  const lock = await createLocks(first.engine).acquire("x");
  const order: number[] = [];
  const waits: Promise<void>[] = [];
  for (let i = 0; i < 12; i++) {
    const { engine } = processes[(i * 7) % 4] as Process;
    waits.push(createLocks(engine).withLock("x", () => void order.push(i)));
    await waiting(first.engine, "x", i + 1);
    await runtime.advance(20);
  }
  await lock.release();
  await Promise.all(waits);
  assert.deepEqual(
    order,
    Array.from({ length: 12 }, (_, i) => i),
  );
});

test("a place in the queue outlives an engine that is away", async () => {
  await using three = together(3);
  const { runtime, processes } = three;
  const [holder, early, late] = processes as [Process, Process, Process];
  const lock = await createLocks(holder.engine).acquire("x");
  const first = createLocks(early.engine, { ttl: "1m" }).acquire("x", { timeout: "1h" });
  await waiting(holder.engine, "x", 1);
  await runtime.advance(50);
  const second = createLocks(late.engine).acquire("x", { timeout: "1h" });
  await waiting(holder.engine, "x", 2);
  early.tap.away = true;
  await lock.release();
  await runtime.advance(20_000);
  assert.deepEqual([await stateOf(first, runtime), await stateOf(second, runtime)], ["pending", "pending"]);
  early.tap.away = false;
  await runtime.advance(2000);
  await (await first).release();
  assert.ok((await second).held);
});

test("a release is tried until the engine is back", async () => {
  await using both = together(2);
  const [holder, other] = both.processes as [Process, Process];
  const lock = await createLocks(holder.engine, { ttl: "1m" }).acquire("x");
  holder.tap.away = true;
  const release = lock.release();
  assert.equal(lock.held, false);
  // Though the store still has it.
  await assert.rejects(
    holder.engine.transact((tx) => tx.set(["k"], 1), { fence: lock }),
    code("LEASE_LOST"),
  );
  await both.runtime.advance(5000);
  assert.equal(await createLocks(other.engine).tryAcquire("x"), undefined);
  holder.tap.away = false;
  await both.runtime.advance(1000);
  await release;
  assert.ok(await createLocks(other.engine).tryAcquire("x"));
});

test("a release is given up when the lease would have ended anyhow", async () => {
  await using process = alone();
  const lock = await createLocks(process.engine, { ttl: "2s" }).acquire("x");
  process.tap.away = true;
  const release = lock.release();
  await process.runtime.advance(5000);
  await release;
});

test("diagnostics channels tell of grants, releases and refusals", async () => {
  const heard: string[] = [];
  const listen = (message: unknown, channel: string | symbol): void => {
    const { kind, names, weight, error } = message as LockMessage;
    heard.push([String(channel).split(":").at(-1), kind, names, weight, error !== undefined].join(" "));
  };
  const channels = ["acquired", "released", "denied"].map((event) => `ashlar:lock:${event}`);
  for (const channel of channels) subscribe(channel, listen);
  try {
    await using process = alone();
    const locks = createLocks(process.engine);
    const lock = await locks.acquire(["x", "y"]);
    await locks.tryAcquire("x");
    const late = assert.rejects(locks.acquire("y", { timeout: "1s" }), code("TIMEOUT"));
    await process.runtime.advance(1000);
    await late;
    await lock.release();
    await (await createSemaphore(process.engine, "s", { permits: 3 }).acquire({ permits: 2 })).release();
  } finally {
    for (const channel of channels) unsubscribe(channel, listen);
  }
  assert.deepEqual(heard, [
    "acquired lock x,y 1 false",
    "denied lock x 1 false",
    "denied lock y 1 true",
    "released lock x,y 1 false",
    "acquired semaphore s 2 false",
    "released semaphore s 2 false",
  ]);
});

for (const kind of ["lock", "semaphore"] as const) {
  test(`${kind}: a try does not take a waiter that died for one that waits`, async () => {
    await using both = together(2);
    const [living, dying] = both.processes as readonly [Process, Process];
    const take = ({ engine }: Process) =>
      kind === "lock"
        ? createLocks(engine, { ttl: "2s" }).acquire("x")
        : createSemaphore(engine, "x", { permits: 1, ttl: "2s" }).acquire();
    const hold = await take(living);
    take(dying).catch(() => {});
    await waiting(living.engine, "x", 1, kind);
    await dying.die();
    await both.runtime.advance(10_000);
    await hold.release();
    const tried =
      kind === "lock"
        ? createLocks(living.engine).tryAcquire("x")
        : createSemaphore(living.engine, "x", { permits: 1 }).tryAcquire();
    assert.ok(await tried);
  });
}

test("a lock is not handed to one who waits for more than it", async () => {
  await using both = together(2);
  const [holder, other] = both.processes as readonly [Process, Process];
  const x = await createLocks(holder.engine).acquire("x");
  const y = await createLocks(other.engine).acquire("y");
  const named = createLocks(other.engine, { owner: "named" }).acquire(["x", "y"], { timeout: "1h" });
  await waiting(holder.engine, "x", 1);
  assert.equal(await x.handOver("named"), false);
  assert.equal(x.held, true);
  await Promise.all([x.release(), y.release()]);
  await both.runtime.advance(1000);
  await (await named).release();
});

test("options that are spelt wrong are refused", async () => {
  await using one = alone();
  assert.throws(() => createLocks(one.engine, { tll: "1s" } as object), /options\.tll/);
  assert.throws(
    () => createSemaphore(one.engine, "s", { permits: 1, tll: "1s" } as { permits: number }),
    /options\.tll/,
  );
  await assert.rejects(createLocks(one.engine).acquire("x", { timeOut: 0 } as object), /options\.timeOut/);
  const semaphore = createSemaphore(one.engine, "s", { permits: 2 });
  await (await semaphore.acquire({ permits: 2 })).release();
});
