import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { alone } from "../lease/testing/process.ts";
import { createLocks, createReadWriteLock, type HoldOptions, type LockingOptions } from "./index.ts";

const refusal = (argument: RegExp) => (error: unknown) =>
  isAshlarError(error, "INVALID_ARGUMENT") && argument.test(error.message);

test("bad options of a lock are named where it is made", async () => {
  await using process = alone();
  const bad: readonly [LockingOptions, RegExp][] = [
    [{ ttl: 99 }, /ttl/],
    [{ ttl: "2d" }, /ttl/],
    [{ ttl: "soon" as "1s" }, /ttl/],
    [{ owner: "" }, /owner/],
    [{ owner: "x".repeat(201) }, /owner/],
    [{ owner: 7 as unknown as string }, /owner/],
  ];
  for (const [options, argument] of bad) {
    assert.throws(() => createLocks(process.engine, options), refusal(argument), JSON.stringify(options));
    assert.throws(() => createReadWriteLock(process.engine, "x", options), refusal(argument));
  }
  for (const name of ["", "x".repeat(501), 7 as unknown as string])
    assert.throws(() => createReadWriteLock(process.engine, name), refusal(/name/));
});

test("bad names and options of an acquisition are named, and nothing is asked of the engine", async () => {
  await using process = alone();
  const locks = createLocks(process.engine);
  const names: readonly [unknown, RegExp][] = [
    ["", /name/],
    [7, /name/],
    [undefined, /name/],
    [[], /1 to 16 names/],
    [Array.from({ length: 17 }, (_, i) => `n${i}`), /1 to 16 names/],
    [["x", ""], /names\[1\]/],
    [["x", "y", "x"], /all different/],
  ];
  for (const [given, argument] of names) {
    await assert.rejects(locks.acquire(given as string), refusal(argument), JSON.stringify(given));
    await assert.rejects(locks.tryAcquire(given as string), refusal(argument));
  }
  const bad: readonly [HoldOptions, RegExp][] = [
    [{ timeout: -1 }, /timeout/],
    [{ timeout: Number.NaN }, /timeout/],
    [{ ttl: 1 }, /ttl/],
  ];
  for (const [options, argument] of bad) await assert.rejects(locks.acquire("x", options), refusal(argument));
  await assert.rejects(locks.inspect(""), refusal(/name/));
  assert.equal(process.tap.commits, 0);
});

test("a lock may have a time to live of its own, and the least wait is none", async () => {
  await using process = alone();
  const locks = createLocks(process.engine, { ttl: "1m" });
  const [usual, short] = [await locks.acquire("x"), await locks.acquire("y", { ttl: "1s" })];
  assert.ok(usual.remaining > 50_000 && short.remaining < 1000);
  assert.notEqual(usual.lease, short.lease);
  const late = assert.rejects(locks.acquire("x", { timeout: 0 }), (error) => isAshlarError(error, "TIMEOUT"));
  await process.runtime.advance(0);
  await late;
  const patient = locks.acquire("x", { timeout: Number.POSITIVE_INFINITY });
  await process.runtime.advance(3_600_000);
  await usual.release();
  assert.ok((await patient).held);
});

test("a process has 10,000 claims under way at most", async () => {
  await using process = alone();
  const locks = createLocks(process.engine);
  await (await locks.acquire("warm")).release();
  const back = Promise.withResolvers<void>();
  process.tap.intercept = async (_, pass) => {
    await back.promise;
    return pass();
  };
  const controller = new AbortController();
  const { signal } = controller;
  const waits = Array.from({ length: 10_000 }, (_, i) => locks.acquire(`x${i}`, { signal, timeout: "1h" }));
  const settled = Promise.allSettled(waits);
  await assert.rejects(locks.acquire("one more"), (error) => isAshlarError(error, "OVERLOADED"));
  controller.abort();
  const results = await settled;
  assert.ok(results.every(({ status }) => status === "rejected"));
  process.tap.intercept = undefined;
  back.resolve();
  await process.runtime.advance(1000);
  assert.ok(await locks.acquire("one more"));
});

test("who holds and who waits is told of a closed engine", async () => {
  const process = alone();
  const locks = createLocks(process.engine);
  const lock = await locks.acquire("x");
  await process.engine.close();
  await assert.rejects(locks.acquire("y"), (error) => isAshlarError(error, "CLOSED"));
  await assert.rejects(locks.tryAcquire("y"), (error) => isAshlarError(error, "CLOSED"));
  await assert.rejects(locks.inspect("x"), (error) => isAshlarError(error, "CLOSED"));
  assert.equal(lock.held, false);
  await lock.release();
});
