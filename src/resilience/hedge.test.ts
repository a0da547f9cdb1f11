import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { UnavailableError } from "../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../core/testing/manual-runtime.ts";
import { type HedgeOptions, hedge } from "./hedge.ts";
import { retryBudget } from "./retry-budget.ts";

interface Begun {
  readonly at: number;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly end: PromiseWithResolvers<string>;
}

/** A hedged call whose attempts are ended by hand. */
function begin(options: Partial<HedgeOptions> = {}, signal?: AbortSignal) {
  const runtime = createManualRuntime();
  const policy = hedge({ idempotent: true, delay: 100, budget: false, runtime, ...options });
  const begun: Begun[] = [];
  const call = policy.execute(
    (context) => {
      const end = Promise.withResolvers<string>();
      begun.push({ at: runtime.clock.monotonic(), attempt: context.attempt, signal: context.signal, end });
      return end.promise;
    },
    { signal },
  );
  call.catch(() => {});
  return { runtime, begun, call };
}

const nth = (begun: readonly Begun[], i: number): Begun => begun[i] as Begun;

async function quiet(runtime: ManualRuntime): Promise<void> {
  await runtime.advance(0);
  assert.equal(runtime.pending, 0);
}

test("a quick answer needs no second attempt", async () => {
  const { runtime, begun, call } = begin();
  nth(begun, 0).end.resolve("first");
  assert.equal(await call, "first");
  await runtime.advance(1000);
  assert.equal(begun.length, 1);
  await quiet(runtime);
});

test("a slow one gets a second beside it; the first success wins, and the other's signal aborts", async () => {
  const { runtime, begun, call } = begin();
  await runtime.advance(99);
  assert.equal(begun.length, 1);
  await runtime.advance(1);
  assert.deepEqual(
    begun.map(({ at, attempt }) => [at, attempt]),
    [
      [0, 1],
      [100, 2],
    ],
  );
  nth(begun, 1).end.resolve("second");
  assert.equal(await call, "second");
  assert.equal(nth(begun, 0).signal.aborted, true);
  assert.equal((nth(begun, 0).signal.reason as Error).name, "AbortError");
  assert.equal(nth(begun, 1).signal.aborted, false);
  // Nobody hears of what the loser says, also not the process.
  nth(begun, 0).end.reject(new Error("late"));
  await quiet(runtime);
});

test("a transient failure lets the next begin at once, and the last error comes out when all have failed", async () => {
  const { runtime, begun, call } = begin({ attempts: 3 });
  nth(begun, 0).end.reject(new UnavailableError("one"));
  await runtime.advance(0);
  assert.equal(begun.length, 2);
  await runtime.advance(100);
  assert.equal(begun.length, 3);
  nth(begun, 2).end.reject(new UnavailableError("three"));
  await runtime.advance(0);
  nth(begun, 1).end.reject(new UnavailableError("two"));
  await assert.rejects(call, /two/);
  await quiet(runtime);
});

test("any other failure ends the call and aborts what is under way", async () => {
  const { runtime, begun, call } = begin();
  await runtime.advance(100);
  nth(begun, 1).end.reject(new TypeError("a mistake"));
  await assert.rejects(call, /a mistake/);
  assert.equal(nth(begun, 0).signal.aborted, true);
  await quiet(runtime);
});

test("an abort from outside ends all attempts with its reason and leaves nothing behind", async () => {
  const controller = new AbortController();
  const { runtime, begun, call } = begin({}, controller.signal);
  await runtime.advance(100);
  const reason = new Error("gone");
  controller.abort(reason);
  await assert.rejects(call, reason);
  assert.deepEqual(
    begun.map(({ signal }) => signal.reason),
    [reason, reason],
  );
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  await quiet(runtime);
});

test("the budget bounds hedges", async () => {
  const runtime = createManualRuntime();
  const budget = retryBudget({ ratio: 0, minPerSecond: 0, capacity: 1, runtime });
  const policy = hedge({ idempotent: true, delay: 10, budget, runtime });
  let attempts = 0;
  const slow = () => {
    attempts++;
    return new Promise((resolve) => void runtime.timers.after(100, () => resolve(undefined)));
  };
  for (let i = 0; i < 3; i++) {
    const call = policy.execute(slow);
    await runtime.advance(200);
    await call;
  }
  assert.equal(attempts, 4);
});

test("the delay follows the percentile of what calls take", async () => {
  const runtime = createManualRuntime();
  const policy = hedge({ idempotent: true, delay: { percentile: 0.9, initial: 500 }, budget: false, runtime });
  const lasting = (ms: number) => () => new Promise<void>((resolve) => void runtime.timers.after(ms, () => resolve()));
  for (let i = 0; i < 16; i++) {
    const call = policy.execute(lasting(20));
    await runtime.advance(20);
    await call;
  }
  let attempts = 0;
  const call = policy.execute(() => {
    attempts++;
    return lasting(attempts === 1 ? 400 : 5)();
  });
  await runtime.advance(19);
  assert.equal(attempts, 1);
  await runtime.advance(1);
  assert.equal(attempts, 2);
  await runtime.advance(5);
  await call;
});

test("that attempts may run at the same time must be stated, and bad options are refused", () => {
  assert.throws(() => hedge({} as HedgeOptions), /idempotent/);
  assert.throws(() => hedge({ idempotent: true, attempts: 0 }), /attempts/);
  assert.throws(() => hedge({ idempotent: true, delay: { percentile: 2 } }), /percentile/);
  assert.throws(() => hedge({ idempotent: true, delay: -1 }), /delay/);
  assert.throws(() => hedge({ idempotent: true, budget: {} as never }), /budget/);
  assert.throws(() => hedge({ idempotent: true, dealy: 1 } as never), /dealy/);
});
