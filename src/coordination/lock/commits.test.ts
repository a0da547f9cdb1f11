import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeKey, isAshlarError, type MaybePromise, OutcomeUnknownError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { RawOutcome } from "../../engine/index.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { alone, open, type Process } from "../lease/testing/process.ts";
import { writtenKeys } from "../lease/testing/tapped-driver.ts";
import { claimsOf } from "./claims.ts";
import { createLocks, createSemaphore } from "./index.ts";
import type { Entry } from "./resource.ts";
import { claimsIn, waiting } from "./testing/queue.ts";
import { together } from "./testing/together.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

test("a grant that comes after the timeout is taken back", async () => {
  await using process = alone();
  const { engine, runtime, tap } = process;
  const locks = createLocks(engine);
  await (await locks.acquire("warm")).release();
  const answer = Promise.withResolvers<void>();
  tap.intercept = async (commits, pass) => {
    tap.intercept = undefined;
    assert.ok(commits.some((commit) => writtenKeys(commit).some((key) => key[3] === "held")));
    const outcomes = await pass();
    await answer.promise;
    return outcomes;
  };
  const wait = assert.rejects(locks.acquire("x", { timeout: "1s" }), code("TIMEOUT"));
  await runtime.advance(1000);
  await wait;
  answer.resolve();
  await runtime.advance(100);
  assert.deepEqual(await claimsIn(engine), []);
  assert.ok(await locks.tryAcquire("x"));
});

test("a commit that arrives after its claim was given up does nothing", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  await using process = open(store, runtime, { doubt: true });
  const { engine, tap } = process;
  const locks = createLocks(engine, { ttl: "1m" });
  await (await locks.acquire("warm")).release();
  let late: (() => MaybePromise<RawOutcome[]>) | undefined;
  tap.intercept = (commits, pass) => {
    if (late || !commits.some((commit) => writtenKeys(commit).some((key) => key[2] === "x"))) return pass();
    late = pass;
    throw new OutcomeUnknownError("injected: the answer is lost");
  };
  const wait = locks.acquire("x");
  for (let i = 0; i < 5; i++) await runtime.advance(100);
  const lock = await wait;
  await lock.release();
  await runtime.advance(100);
  assert.ok(late);
  const [outcome] = await late();
  assert.equal(outcome?.ok, false);
  assert.deepEqual(await claimsIn(engine), []);
});

test("what may be removed as dead is only what stands under a lease that has ended", async () => {
  await using process = alone();
  const { engine, tap } = process;
  const locks = createLocks(engine);
  const lock = await locks.acquire("x");
  // A read that says that the lease is gone when it is not.
  const getMany = tap.driver.getMany.bind(tap.driver);
  tap.driver.getMany = async (keys, options) =>
    (await getMany(keys, options)).map((row, i) => (decodeKey(keys[i] as Uint8Array)[0] === "lease" ? undefined : row));
  assert.equal(await locks.tryAcquire("x"), undefined);
  assert.equal((await claimsIn(engine)).length, 1);
  await engine.transact((tx) => tx.set(["k"], 1), { fence: lock });
});

test("what is removed as dead by two at once is given back once", async () => {
  await using both = together(2);
  const [dying, living] = both.processes as [Process, Process];
  await createSemaphore(dying.engine, "s", { permits: 5 }).acquire({ permits: 2 });
  await createSemaphore(living.engine, "s", { permits: 5 }).acquire({ permits: 1 });
  await dying.die();
  await both.runtime.advance(20_000);
  const { commits } = claimsOf(living.engine);
  const resource = { kind: "semaphore", name: "s", permits: 5 } as const;
  const entries = await Array.fromAsync(living.engine.kv.list<Entry>({ prefix: commits.keys.allHeld(resource) }));
  const dead = entries.filter(({ value }) => value.weight === 2);
  assert.deepEqual([entries.length, dead.length], [2, 1]);
  const removed = await Promise.all([...dead, ...dead].map((entry) => commits.purge(resource, entry, true)));
  assert.deepEqual(removed.toSorted(), [false, true]);
  assert.equal((await living.engine.kv.get(commits.keys.used(resource)))?.value, 1);
});

test("a lock that was taken away cannot be handed over", async () => {
  await using three = together(3);
  const [old, next, named] = three.processes as [Process, Process, Process];
  const lost = await createLocks(old.engine, { owner: "old" }).acquire("x");
  const takes = createLocks(next.engine).acquire("x");
  await waiting(next.engine, "x", 1);
  await three.runtime.advance(50);
  const waits = createLocks(named.engine, { owner: "named" }).acquire("x");
  await waiting(next.engine, "x", 2);
  await next.engine.kv.delete(["lease", lost.lease]);
  const lock = await takes;
  assert.equal(lost.held, true);
  assert.equal(await lost.handOver("named"), false);
  assert.equal((await createLocks(next.engine).inspect("x")).holders.length, 1);
  await lock.release();
  assert.equal((await waits).held, true);
});

test("a lock is handed to nobody who has died or given up", async () => {
  await using three = together(3);
  const { runtime, processes } = three;
  const [holder, dying, leaving] = processes as [Process, Process, Process];
  const lock = await createLocks(holder.engine, { ttl: "1m" }).acquire("x");
  const dead = createLocks(dying.engine, { owner: "named", ttl: "1s" }).acquire("x");
  dead.catch(() => {});
  await waiting(holder.engine, "x", 1);
  await dying.die();
  await runtime.advance(5000);
  assert.equal(await lock.handOver("named"), false);
  const leaves = createLocks(leaving.engine, { owner: "named" }).acquire("x", { timeout: "10s" });
  leaves.catch(() => {});
  await waiting(holder.engine, "x", 2);
  // Its place goes while the lock is being handed over.
  holder.tap.intercept = async (commits, pass) => {
    if (!commits.some((commit) => writtenKeys(commit).some((key) => key[3] === "held"))) return pass();
    holder.tap.intercept = undefined;
    for (const key of await claimsIn(leaving.engine)) if (key[3] === "queue") await leaving.engine.kv.delete(key);
    return pass();
  };
  assert.equal(await lock.handOver("named"), false);
  assert.deepEqual([holder.tap.intercept, lock.held], [undefined, true]);
  assert.equal((await createLocks(holder.engine).inspect("x")).holders.length, 1);
  await holder.engine.transact((tx) => tx.set(["k"], 1), { fence: lock });
});

test("a sweep removes what dead processes left, and nothing else", async () => {
  await using both = together(2);
  const { runtime, processes } = both;
  const [dying, living] = processes as [Process, Process];
  const mine = createSemaphore(living.engine, "s", { permits: 5 });
  const kept = await mine.acquire({ permits: 2 });
  const theirs = createSemaphore(dying.engine, "s", { permits: 5 });
  await theirs.acquire({ permits: 1 });
  await createLocks(dying.engine).acquire(["x", "y"]);
  const waits = theirs.acquire({ permits: 5, timeout: "1h" });
  waits.catch(() => {});
  await waiting(living.engine, "s", 1, "semaphore");
  await dying.die();
  assert.equal((await claimsIn(living.engine)).length, 5);
  await runtime.advance(15 * 60_000);
  assert.equal((await claimsIn(living.engine)).length, 1);
  assert.equal((await living.engine.kv.get(["lock", "semaphore", "s", "used"]))?.value, 2);
  assert.equal(kept.held, true);
  assert.ok(await mine.tryAcquire({ permits: 3 }));
});

test("a counter that has come to zero is not forgotten once it counts again", async () => {
  await using both = together(2);
  const [leaving, coming] = both.processes as [Process, Process];
  const hold = await createSemaphore(leaving.engine, "s", { permits: 2 }).acquire();
  let others = 0;
  leaving.tap.intercept = async (commits, pass) => {
    const deleted = commits.some(({ mutations }) =>
      mutations.some((mutation) => mutation.kind === "delete" && decodeKey(mutation.key)[3] === "used"),
    );
    if (deleted && others++ === 0) await createSemaphore(coming.engine, "s", { permits: 2 }).acquire({ permits: 2 });
    return pass();
  };
  await hold.release();
  await both.runtime.advance(100);
  assert.equal(others, 1);
  assert.equal(await createSemaphore(leaving.engine, "s", { permits: 2 }).tryAcquire(), undefined);
});

test("one process of all sweeps at a time", async () => {
  await using four = together(4);
  for (const [i, { engine }] of four.processes.entries()) await createLocks(engine).acquire(`own ${i}`);
  const marks: number[] = [];
  for (const { tap } of four.processes) {
    tap.intercept = async (commits, pass) => {
      const outcomes = await pass();
      commits.forEach((commit, i) => {
        const swept = writtenKeys(commit).some((key) => key[1] === "swept");
        if (swept && outcomes[i]?.ok) marks.push(four.runtime.clock.monotonic());
      });
      return outcomes;
    };
  }
  const readers = (): number[] => four.processes.map(({ tap }) => tap.reads);
  const before = readers();
  await four.runtime.advance(15 * 60_000);
  const looked = readers().filter((reads, i) => reads > (before[i] ?? 0)).length;
  assert.ok(marks.length >= 1 && marks.length <= 3, `swept ${marks.length} times`);
  assert.ok(looked <= marks.length, `${looked} looked`);
});
