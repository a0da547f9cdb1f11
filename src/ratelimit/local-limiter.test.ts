import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import { type Algorithm, createLocalRateLimiter, type LocalRateLimiterOptions, takeAllLocal } from "./index.ts";

function create(options: Partial<LocalRateLimiterOptions> = {}) {
  const runtime = createManualRuntime();
  return { runtime, limiter: createLocalRateLimiter({ limit: 5, per: 1_000, runtime, ...options }) };
}

test("a token bucket gives its burst at once and then refills evenly", async () => {
  const { runtime, limiter } = create({ burst: 8 });
  for (let i = 7; i >= 0; i--) assert.equal(limiter.take("a").remaining, i);
  assert.deepEqual(limiter.take("a"), {
    allowed: false,
    limit: 8,
    remaining: 0,
    resetAfterMs: 1_600,
    retryAfterMs: 200,
  });
  await runtime.advance(200);
  assert.equal(limiter.take("a").allowed, true);
  assert.equal(limiter.take("a").allowed, false);
  assert.equal(limiter.take("b").allowed, true);
});

test("a refused take takes nothing, and a cost of 0 only asks", () => {
  const { limiter } = create();
  assert.equal(limiter.take("a", { cost: 4 }).remaining, 1);
  assert.equal(limiter.take("a", { cost: 2 }).retryAfterMs, 200);
  assert.deepEqual(limiter.take("a", { cost: 0 }), limiter.peek("a"));
  assert.equal(limiter.peek("a").remaining, 1);
  assert.equal(limiter.take("a").allowed, true);
  assert.equal(limiter.take("a", { cost: 0 }).allowed, false);
});

test("a fixed window allows twice the limit across its boundary, a sliding log never", async () => {
  for (const [algorithm, across] of [
    ["fixed-window", 10],
    ["sliding-window", 5],
    ["sliding-log", 5],
  ] as const) {
    const { runtime, limiter } = create({ algorithm });
    await runtime.advance(999);
    let allowed = 0;
    for (let i = 0; i < 10; i++) if (limiter.take("a").allowed) allowed++;
    await runtime.advance(2);
    for (let i = 0; i < 10; i++) if (limiter.take("a").allowed) allowed++;
    assert.equal(allowed, across, algorithm);
  }
});

test("a cost above what can ever be had is an error, not a refusal", () => {
  const { limiter } = create();
  assert.throws(() => limiter.take("a", { cost: 6 }), { code: "INVALID_ARGUMENT", message: /options.cost: given 6/ });
  assert.throws(() => limiter.take("a", { cost: 0.5 }), { code: "INVALID_ARGUMENT" });
  assert.throws(() => limiter.take(""), { code: "INVALID_ARGUMENT" });
});

test("takeOrThrow says when to come back", () => {
  const { limiter } = create({ limit: 1, name: "login" });
  limiter.takeOrThrow("a");
  assert.throws(
    () => limiter.takeOrThrow("a"),
    (error: { code: string; details: Record<string, unknown> }) => {
      assert.equal(error.code, "RATE_LIMITED");
      assert.deepEqual([error.details["limiter"], error.details["retryAfterMs"]], ["login", 1_000]);
      return true;
    },
  );
});

test("a block refuses everything until its end; a shorter one does not end it", async () => {
  for (const algorithm of ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const) {
    const { runtime, limiter } = create({ algorithm });
    limiter.block("a", "10s");
    limiter.block("a", "1s");
    await runtime.advance(9_999);
    assert.deepEqual(limiter.take("a").retryAfterMs, 1);
    assert.equal(limiter.peek("a").allowed, false);
    await runtime.advance(1);
    assert.equal(limiter.take("a").allowed, true);
    limiter.block("a", "10s");
    limiter.reset("a");
    assert.equal(limiter.take("a").remaining, 4);
  }
});

test("a penalty leaves a debt, a refund gives back and never more than was there", async () => {
  for (const algorithm of ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const) {
    const { limiter } = create({ algorithm });
    limiter.penalty("a", 5);
    limiter.penalty("a", 1);
    assert.equal(limiter.take("a").allowed, false, algorithm);
    limiter.refund("a", 2);
    assert.equal(limiter.peek("a").remaining, 1);
    limiter.refund("a", 5);
    limiter.refund("a", 5);
    assert.equal(limiter.peek("a").remaining, 5);
  }
});

test("several limits at once: all or none, and the verdict names those that refused and the longest wait", () => {
  const runtime = createManualRuntime();
  const second = createLocalRateLimiter({ limit: 10, per: 1_000, runtime });
  const hour = createLocalRateLimiter({ limit: 2, per: "1h", runtime });
  const takes = [
    { limiter: second, key: "a", cost: 4 },
    { limiter: hour, key: "a" },
  ];
  assert.equal(takeAllLocal(takes).allowed, true);
  assert.equal(takeAllLocal(takes).allowed, true);
  const refused = takeAllLocal(takes);
  assert.deepEqual([refused.allowed, refused.refusedBy, refused.retryAfterMs], [false, [0, 1], 1_800_000]);
  assert.equal(second.peek("a").remaining, 2);
  const twice = [takes[0], takes[0]] as typeof takes;
  assert.throws(() => takeAllLocal(twice), { code: "INVALID_ARGUMENT" });
});

test("keys are bounded: idle ones are forgotten, and when all are active further ones share one allowance", async () => {
  const { runtime, limiter } = create({ maxKeys: 3 });
  for (const key of ["a", "b", "c"]) limiter.take(key, { cost: 5 });
  let allowed = 0;
  for (let i = 0; i < 20; i++) if (limiter.take(`other-${i}`).allowed) allowed++;
  assert.equal(allowed, 5);
  assert.equal(limiter.size, 3);
  await runtime.advance(500);
  limiter.reset("a");
  // What "other-1" used up with the others, it has not got for itself.
  assert.equal(limiter.take("other-1").remaining, 1);
  await runtime.advance(5_000);
  for (let i = 0; i < 3; i++) assert.equal(limiter.take(`late-${i}`).remaining, 4);
  assert.equal(limiter.size, 3);
});

test("a hundred thousand keys that come and go leave nothing behind", async () => {
  for (const algorithm of ["token-bucket", "sliding-window", "sliding-log"] as const) {
    const { runtime, limiter } = create({ algorithm, maxKeys: 1_000 });
    for (let i = 0; i < 100_000; i++) {
      if (i % 100 === 0) await runtime.advance(1_000);
      assert.ok(limiter.take(`key-${i}`).allowed);
    }
    assert.ok(limiter.size <= 1_000);
  }
});

test("options that make no sense are refused", () => {
  const wrong: object[] = [
    { limit: 0, per: 1 },
    { limit: 1, per: 0 },
    { limit: 1.5, per: 1 },
    { limit: 10_000, per: 1 },
    { limit: 1, per: "1s", algorithm: "leaky" },
    { limit: 1, per: "1s", algorithm: "fixed-window", burst: 2 },
    { limit: 6_000, per: "1h", algorithm: "sliding-log" },
    { limit: 1, per: "1s", maxkeys: 5 },
    { limit: 1, per: "1s", maxKeys: 0 },
  ];
  for (const options of wrong)
    assert.throws(() => createLocalRateLimiter(options as LocalRateLimiterOptions), { code: "INVALID_ARGUMENT" });
});

/** A second version that remembers every take and computes from the definition. */
function dumb(algorithm: Algorithm, limit: number, per: number, burst: number) {
  let takes: { at: number; cost: number }[] = [];
  const sum = (from: number, to: number) =>
    takes.filter(({ at }) => at >= from && at < to).reduce((total, { cost }) => total + cost, 0);
  return (at: number, cost: number): boolean => {
    const window = Math.floor(at / per) * per;
    let allowed: boolean;
    if (algorithm === "fixed-window") allowed = sum(window, at + 1) + cost <= limit;
    else if (algorithm === "sliding-log") allowed = sum(at - per + 1, at + 1) + cost <= limit;
    else if (algorithm === "sliding-window")
      allowed =
        sum(window, at + 1) + cost <=
        Math.floor(limit - (sum(window - per, window) * (per - (at - window))) / per + 1e-9);
    else {
      // From every earlier instant on: no more than the burst and what was refilled since.
      allowed = [...takes.map((take) => take.at), at].every(
        (from) => sum(from, at + 1) + cost <= burst + ((at - from) * limit) / per + 1e-6,
      );
    }
    if (allowed) takes = [...takes, { at, cost }];
    return allowed;
  };
}

for (const algorithm of ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const) {
  test(`${algorithm}: says what its definition says, and a wait of retryAfterMs is enough and no longer than needed`, () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.integer({ min: 1, max: 3 })), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, (plan) => {
        let now = 0;
        const runtime = { clock: { now: () => now, monotonic: () => now } };
        const bucket = algorithm === "token-bucket";
        const options = { limit: 4, per: 1_000, algorithm, ...(bucket && { burst: 6 }) };
        const limiter = createLocalRateLimiter({ ...options, runtime });
        const model = dumb(algorithm, 4, 1_000, 6);
        for (const [pause, cost] of plan) {
          now += pause;
          const verdict = limiter.take("key", { cost });
          assert.equal(verdict.allowed, model(now, cost), `at ${now}`);
          if (verdict.retryAfterMs === undefined) continue;
          const refusedAt = now;
          if (verdict.retryAfterMs > 0.01) {
            now = refusedAt + verdict.retryAfterMs - 0.01;
            assert.equal(limiter.peek("key", { cost }).allowed, false, "the wait was longer than needed");
          }
          now = refusedAt + verdict.retryAfterMs + 1e-6;
          assert.equal(
            limiter.peek("key", { cost }).allowed,
            true,
            `retry after ${verdict.retryAfterMs} at ${refusedAt}`,
          );
          now = Math.ceil(now);
        }
      }),
      { numRuns: 300 },
    );
  });
}
