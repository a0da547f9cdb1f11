import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import { openMemory } from "../engine/memory/index.ts";
import { createLeakyBucket, createLocalConcurrencyLimiter, createLocalLeakyBucket } from "./index.ts";

test("a leaky bucket lets takes pass one after another at an even rate", async () => {
  const runtime = createManualRuntime();
  const bucket = createLocalLeakyBucket({ limit: 10, per: "1s", runtime });
  const passed: [string, number][] = [];
  const take = async (name: string, cost?: number) => {
    await bucket.take("a", cost === undefined ? {} : { cost });
    passed.push([name, runtime.clock.monotonic()]);
  };
  const all = [take("first"), take("large", 3), take("after it"), take("last")];
  await runtime.advance(1_000);
  await Promise.all(all);
  assert.deepEqual(passed, [
    ["first", 0],
    ["large", 100],
    ["after it", 400],
    ["last", 500],
  ]);
  assert.equal(await bucket.take("a"), 0);
  assert.equal(runtime.pending, 0);
});

test("an abandoned wait gives its turn to those behind", async () => {
  const runtime = createManualRuntime();
  const bucket = createLocalLeakyBucket({ limit: 10, per: "1s", runtime });
  await bucket.take("a");
  const gone = new AbortController();
  const second = bucket.take("a", { signal: gone.signal });
  const third = bucket.take("a");
  const reason = new Error("no longer needed");
  gone.abort(reason);
  await assert.rejects(second, reason);
  await runtime.advance(100);
  assert.equal(await third, 100);
});

test("a wait that would be too long is refused at once and takes no turn; a full queue too", async () => {
  const runtime = createManualRuntime();
  const bucket = createLocalLeakyBucket({ limit: 10, per: "1s", maxWait: 250, maxQueue: 2, runtime });
  await bucket.take("a");
  const waiting = [bucket.take("a"), bucket.take("a")];
  await assert.rejects(bucket.take("a"), { code: "OVERLOADED" });
  const narrow = createLocalLeakyBucket({ limit: 10, per: "1s", maxWait: 50, runtime });
  await narrow.take("a");
  await assert.rejects(narrow.take("a"), (error: { code: string; details: Record<string, unknown> }) => {
    assert.deepEqual([error.code, error.details["retryAfterMs"]], ["RATE_LIMITED", 50]);
    return true;
  });
  await runtime.advance(200);
  assert.deepEqual(await Promise.all(waiting), [100, 200]);
});

test("closing a leaky bucket refuses those who wait", async () => {
  const runtime = createManualRuntime();
  for (const bucket of [
    createLocalLeakyBucket({ limit: 1, per: "1h", maxWait: "5h", runtime }),
    createLeakyBucket(openMemory({ runtime }), "shape", { limit: 1, per: "1h", maxWait: "5h" }),
  ]) {
    const taken = bucket.take("a");
    await runtime.advance(1);
    await taken;
    const second = bucket.take("a");
    const refused = assert.rejects(second, { code: "CLOSED" });
    await runtime.advance(1);
    const closing = bucket.close();
    await runtime.advance(1);
    await closing;
    await refused;
    await assert.rejects(bucket.take("a"), { code: "CLOSED" });
    await bucket.close();
  }
});

test("over the engine, the last in the line gives its turn back, one in the middle does not", async () => {
  const runtime = createManualRuntime();
  const engine = openMemory({ runtime });
  const bucket = createLeakyBucket(engine, "shape", { limit: 10, per: "1s", maxWait: "1s" });
  const end = async () => (await engine.kv.get<number>(["ratelimit", "shape", "turn", "a"]))?.value as number;
  const take = async (signal?: AbortSignal) => {
    const result = bucket.take("a", signal ? { signal } : {}).catch((error: unknown) => error);
    await runtime.advance(0);
    return { result };
  };
  await take();
  const before = await end();
  const [middle, last] = [new AbortController(), new AbortController()];
  await take(middle.signal);
  await take(last.signal);
  assert.equal((await end()) - before, 200_000);
  middle.abort();
  await runtime.advance(0);
  assert.equal((await end()) - before, 200_000);
  last.abort();
  await runtime.advance(0);
  assert.equal((await end()) - before, 100_000);
  for (let i = 0; i < 9; i++) await take();
  const { result } = await take();
  assert.equal(((await result) as { code: string }).code, "RATE_LIMITED");
  await bucket.close();
});

test("no more than the limit is held at once, and whoever waits is admitted in order", async () => {
  const limiter = createLocalConcurrencyLimiter({ limit: 2, maxQueue: 3 });
  const first = await limiter.acquire("a");
  {
    await using _second = await limiter.acquire("a");
    assert.equal(limiter.tryAcquire("a"), undefined);
    assert.notEqual(limiter.tryAcquire("b"), undefined);
  }
  const order: string[] = [];
  const noted = async (name: string, cost: number) => {
    const slot = await limiter.acquire("a", { cost });
    order.push(name);
    return slot;
  };
  const large = noted("large", 2);
  const small = noted("small", 1);
  // There is room for the small one, but it does not overtake.
  assert.deepEqual(limiter.usage("a"), { held: 1, waiting: 2 });
  await first.release();
  await first.release();
  const slot = await large;
  assert.deepEqual(limiter.usage("a"), { held: 2, waiting: 1 });
  await slot.release();
  await (await small).release();
  assert.deepEqual(order, ["large", "small"]);
  assert.deepEqual(limiter.usage("a"), { held: 0, waiting: 0 });
  await assert.rejects(limiter.acquire("a", { cost: 3 }), { code: "INVALID_ARGUMENT" });
});

test("waiting for a slot ends with the signal, the longest wait, or the close; nothing stays held", async () => {
  const runtime = createManualRuntime();
  const limiter = createLocalConcurrencyLimiter({ limit: 1, maxWait: 500, maxQueue: 2, runtime });
  const slot = await limiter.acquire("a");
  const gone = new AbortController();
  const aborted = limiter.acquire("a", { signal: gone.signal });
  const late = limiter.acquire("a");
  await assert.rejects(limiter.acquire("a"), { code: "OVERLOADED" });
  gone.abort(new Error("gone"));
  await assert.rejects(aborted, { message: "gone" });
  const refused = assert.rejects(late, { code: "RATE_LIMITED" });
  await runtime.advance(500);
  await refused;
  const closed = assert.rejects(limiter.acquire("a"), { code: "CLOSED" });
  await limiter.close();
  await closed;
  await slot.release();
  assert.deepEqual(limiter.usage("a"), { held: 0, waiting: 0 });
  assert.equal(runtime.pending, 0);
  await assert.rejects(limiter.acquire("a"), { code: "CLOSED" });
});
