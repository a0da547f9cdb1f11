import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeUnknownError, RateLimitedError, UnavailableError } from "../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../core/testing/manual-runtime.ts";
import { compose } from "./compose.ts";
import { type RetryOptions, retry } from "./retry.ts";
import { retryBudget } from "./retry-budget.ts";
import { timeout } from "./timeout.ts";
import { isFailedResponse } from "./transience.ts";

/** Runs an operation that fails `failures` times; says when each attempt began. */
async function attemptsOf(
  runtime: ManualRuntime,
  options: RetryOptions,
  errors: readonly unknown[],
): Promise<{ readonly at: number[]; readonly numbers: number[]; readonly outcome: unknown }> {
  const at: number[] = [];
  const numbers: number[] = [];
  const call = retry({ runtime, ...options }).execute(({ attempt }) => {
    at.push(runtime.clock.monotonic());
    numbers.push(attempt);
    const i = at.length - 1;
    if (i < errors.length) throw errors[i];
    return "done";
  });
  const outcome = call.catch((error: unknown) => error);
  await runtime.advance(100_000);
  return { at, numbers, outcome: await outcome };
}

const down = new UnavailableError("down");

test("a transient error is retried with growing delays, and attempts are counted", async () => {
  const { at, numbers, outcome } = await attemptsOf(createManualRuntime(), { jitter: "none", attempts: 4 }, [
    down,
    down,
    down,
  ]);
  assert.deepEqual(at, [0, 100, 300, 700]);
  assert.deepEqual(numbers, [1, 2, 3, 4]);
  assert.equal(outcome, "done");
});

test("the last attempt's own error comes out", async () => {
  const last = new UnavailableError("last");
  const { at, outcome } = await attemptsOf(createManualRuntime(), {}, [down, down, last, down]);
  assert.equal(at.length, 3);
  assert.equal(outcome, last);
});

test("delays stay within the bounds of each jitter", async () => {
  for (const [jitter, least, most] of [
    ["full", 0, 1],
    ["equal", 0.5, 1],
    ["decorrelated", 0, 3],
  ] as const) {
    const { at } = await attemptsOf(
      createManualRuntime(),
      { jitter, attempts: 8, maxDelay: 1000 },
      Array.from({ length: 7 }, () => down),
    );
    for (let i = 1; i < at.length; i++) {
      const delay = (at[i] as number) - (at[i - 1] as number);
      const bound = jitter === "decorrelated" ? 1000 / 3 : Math.min(1000, 100 * 2 ** (i - 1));
      assert.ok(delay >= bound * least && delay <= bound * most, `${jitter} ${i}: ${delay}`);
      if (jitter === "decorrelated") assert.ok(delay >= 100, `${delay}`);
    }
  }
});

test("an unknown outcome is retried only for an idempotent operation", async () => {
  const lost = new OutcomeUnknownError("lost");
  assert.equal((await attemptsOf(createManualRuntime(), {}, [lost])).at.length, 1);
  assert.equal((await attemptsOf(createManualRuntime(), { idempotent: true }, [lost])).at.length, 2);
  let attempts = 0;
  const policy = retry({ baseDelay: 0 });
  const flaky = () => {
    if (++attempts === 1) throw lost;
    return attempts;
  };
  assert.equal(await policy.execute(flaky, { idempotent: true }), 2);
});

test("mistakes of the program are never retried by default, and `retryIf` decides otherwise", async () => {
  assert.equal((await attemptsOf(createManualRuntime(), { idempotent: true }, [new TypeError("x")])).at.length, 1);
  const { at } = await attemptsOf(createManualRuntime(), { retryIf: () => true }, [new TypeError("x")]);
  assert.equal(at.length, 2);
});

test("what says when to come back is not asked before, and not at all if it says too late", async () => {
  const limited = (retryAfterMs: number) => new RateLimitedError("limited", { details: { retryAfterMs } });
  const { at } = await attemptsOf(createManualRuntime(), { jitter: "none" }, [limited(5000)]);
  assert.deepEqual(at, [0, 5100]);
  assert.equal((await attemptsOf(createManualRuntime(), {}, [limited(60_000)])).at.length, 1);
});

test("a failed result is retried, and the last one returned", async () => {
  const runtime = createManualRuntime();
  const statuses = [503, 500, 503];
  const policy = retry({ runtime, isFailure: isFailedResponse, idempotent: true });
  const call = policy.execute(() => ({ status: statuses.shift() ?? 200 }));
  await runtime.advance(60_000);
  assert.deepEqual(await call, { status: 503 });
  assert.equal(statuses.length, 0);
});

test("a retry that could not begin before the deadline is not waited for", async () => {
  const runtime = createManualRuntime();
  const policy = compose(timeout(250, { runtime }), retry({ runtime, jitter: "none", attempts: 5 }));
  const at: number[] = [];
  const call = policy.execute(() => {
    at.push(runtime.clock.monotonic());
    throw down;
  });
  const outcome = assert.rejects(call, down);
  await runtime.advance(100);
  await outcome;
  assert.deepEqual(at, [0, 100]);
  assert.equal(runtime.clock.monotonic(), 100);
  const elapsed = await attemptsOf(createManualRuntime(), { jitter: "none", maxElapsed: 300, attempts: 9 }, [
    down,
    down,
    down,
    down,
  ]);
  assert.deepEqual(elapsed.at, [0, 100, 300]);
});

test("an abort ends the wait for the next attempt, with its reason and without a timer left", async () => {
  const runtime = createManualRuntime();
  const controller = new AbortController();
  const call = retry({ runtime }).execute(() => Promise.reject(down), { signal: controller.signal });
  const reason = new Error("gone");
  const outcome = assert.rejects(call, reason);
  await runtime.advance(0);
  controller.abort(reason);
  await outcome;
  assert.equal(runtime.pending, 0);
});

test("a shared budget bounds the retries of all who share it", async () => {
  const runtime = createManualRuntime();
  const budget = retryBudget({ runtime, ratio: 0.1, minPerSecond: 0, capacity: 5 });
  const policies = [retry({ runtime, budget, baseDelay: 0 }), retry({ runtime, budget, baseDelay: 0 })];
  let attempts = 0;
  for (let i = 0; i < 100; i++) {
    const call = policies[i % 2]?.execute(() => {
      attempts++;
      throw down;
    });
    const outcome = assert.rejects(call ?? Promise.resolve(), down);
    await runtime.advance(1);
    await outcome;
  }
  assert.ok(attempts <= 100 * 1.1 + 5 && attempts >= 100 * 1.1, `${attempts}`);
});

test("time refills the budget, up to its capacity", async () => {
  const runtime = createManualRuntime();
  const budget = retryBudget({ runtime, ratio: 0, minPerSecond: 2, capacity: 3 });
  const withdrawn = () => Array.from({ length: 10 }, () => budget.withdraw()).filter(Boolean).length;
  assert.equal(withdrawn(), 3);
  await runtime.advance(1000);
  assert.equal(withdrawn(), 2);
  await runtime.advance(60_000);
  assert.equal(withdrawn(), 3);
});

test("bad options are refused", () => {
  for (const options of [
    { attempts: 0 },
    { jitter: "some" },
    { baseDelay: "1s", maxDelay: "10ms" },
    { budget: {} },
    { atempts: 2 },
    { retryIf: true },
  ])
    assert.throws(() => retry(options as never), { code: "INVALID_ARGUMENT" });
  assert.throws(() => retryBudget({ capacity: 0 }), { code: "INVALID_ARGUMENT" });
});
