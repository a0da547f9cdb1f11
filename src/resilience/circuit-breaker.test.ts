import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConflictError, isAshlarError, UnavailableError } from "../core/index.ts";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import type { BreakerHint, BreakerHints } from "./breaker-hints.ts";
import type { BreakerTransition, CircuitBreakerOptions } from "./breaker-options.ts";
import { CountWindow, TimeWindow } from "./call-window.ts";
import { type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
import { compose } from "./compose.ts";
import { timeout } from "./timeout.ts";

const down = new UnavailableError("down");
const succeed = (breaker: CircuitBreaker) => breaker.execute(() => 1);
const fail = (breaker: CircuitBreaker) =>
  assert.rejects(
    breaker.execute(() => Promise.reject(down)),
    down,
  );

function start(options: CircuitBreakerOptions = {}) {
  const runtime = createManualRuntime();
  const seen: BreakerTransition[] = [];
  const breaker = circuitBreaker({ runtime, onStateChange: (each) => seen.push(each), ...options });
  return { runtime, breaker, seen };
}

test("it opens at the ratio once there are enough calls, refuses, probes, and closes", async () => {
  const { runtime, breaker, seen } = start({ minimumCalls: 4, openFor: 1000 });
  for (let i = 0; i < 2; i++) await succeed(breaker);
  await fail(breaker);
  assert.equal(breaker.state, "closed");
  await fail(breaker);
  assert.equal(breaker.state, "open");
  await runtime.advance(400);
  let called = false;
  const refused = breaker.execute(() => {
    called = true;
  });
  await assert.rejects(refused, (error) => {
    assert.ok(isAshlarError(error, "CIRCUIT_OPEN"));
    assert.equal(error.details["retryAfterMs"], 600);
    return true;
  });
  assert.equal(called, false);
  await runtime.advance(600);
  assert.equal(breaker.state, "half-open");
  await succeed(breaker);
  assert.equal(breaker.state, "half-open");
  await succeed(breaker);
  assert.equal(breaker.state, "closed");
  assert.deepEqual(
    seen.map(({ to, why }) => `${to}: ${why}`),
    ["open: failures", "half-open: time to probe", "closed: probes succeeded"],
  );
});

test("a failed probe opens it again for twice as long, up to the bound", async () => {
  const { runtime, breaker } = start({ consecutiveFailures: 1, openFor: 1000, maxOpenFor: 3000 });
  await fail(breaker);
  for (const lasts of [1000, 2000, 3000, 3000]) {
    await runtime.advance(lasts - 1);
    assert.equal(breaker.state, "open");
    await runtime.advance(1);
    assert.equal(breaker.state, "half-open");
    await fail(breaker);
  }
});

test("half-open lets no more probes through at a time than allowed, and a probe that hangs counts as failed", async () => {
  const { runtime, breaker, seen } = start({ consecutiveFailures: 1, probes: 2, openFor: 1000, probeTimeout: 5000 });
  await fail(breaker);
  await runtime.advance(1000);
  let inside = 0;
  const hang = () => {
    inside++;
    return new Promise<never>(() => {});
  };
  void breaker.execute(hang);
  void breaker.execute(hang);
  await assert.rejects(breaker.execute(hang), { code: "CIRCUIT_OPEN" });
  assert.equal(inside, 2);
  await runtime.advance(5000);
  await assert.rejects(succeed(breaker), { code: "CIRCUIT_OPEN" });
  assert.equal(seen.at(-1)?.why, "probe lost");
  await runtime.advance(2000);
  await succeed(breaker);
});

test("what began before a transition does not count after it", async () => {
  const { runtime, breaker } = start({ consecutiveFailures: 1, openFor: 1000, requiredSuccesses: 1 });
  const stale = Promise.withResolvers<never>();
  const old = assert.rejects(
    breaker.execute(() => stale.promise),
    down,
  );
  await fail(breaker);
  await runtime.advance(1000);
  await succeed(breaker);
  stale.reject(down);
  await old;
  assert.equal(breaker.state, "closed");
});

test("the dependency's own answers and the caller's aborts do not open it; a deadline further out does", async () => {
  const { runtime, breaker } = start({ consecutiveFailures: 1 });
  const conflict = new ConflictError("x");
  await assert.rejects(
    breaker.execute(() => Promise.reject(conflict)),
    conflict,
  );
  const controller = new AbortController();
  const waits = ({ signal }: { readonly signal: AbortSignal }) =>
    new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const aborted = breaker.execute(waits, { signal: controller.signal });
  controller.abort(new UnavailableError("the caller's reason"));
  await assert.rejects(aborted);
  assert.equal(breaker.state, "closed");
  const late = assert.rejects(compose(timeout(100, { runtime }), breaker).execute(waits), { code: "TIMEOUT" });
  await runtime.advance(100);
  await late;
  assert.equal(breaker.state, "open");
});

test("slow calls open it, whatever their outcome", async () => {
  const { runtime, breaker } = start({ slowCall: 100, slowCallRatio: 0.5, minimumCalls: 2, window: { calls: 10 } });
  const slow = () => {
    const call = breaker.execute(() => new Promise((resolve) => void runtime.timers.after(100, () => resolve(1))));
    return Promise.all([runtime.advance(100), call]);
  };
  await slow();
  assert.equal(breaker.state, "closed");
  await slow();
  assert.equal(breaker.state, "open");
});

test("results can be failures", async () => {
  const { breaker } = start({ consecutiveFailures: 2, isFailure: (result) => result === "bad" });
  await breaker.execute(() => "bad");
  assert.equal(await breaker.execute(() => "bad"), "bad");
  assert.equal(breaker.state, "open");
});

test("isolated by hand, it refuses until it is closed by hand", async () => {
  const { runtime, breaker } = start();
  breaker.isolate();
  await runtime.advance(1_000_000);
  assert.equal(breaker.state, "isolated");
  await assert.rejects(succeed(breaker), { code: "CIRCUIT_OPEN" });
  breaker.close();
  await succeed(breaker);
});

test("a hint alone neither opens nor closes: it makes one failure enough, and lets an open breaker probe", async () => {
  const published: BreakerHint[] = [];
  let listener: ((hint: BreakerHint) => void) | undefined;
  const hints: BreakerHints = {
    publish: (hint) => published.push(hint),
    subscribe: (each) => {
      listener = each;
      return () => {};
    },
  };
  const { runtime, breaker } = start({ name: "db", hints, openFor: 1000, requiredSuccesses: 1 });
  listener?.({ name: "db", state: "open", openMs: 1000 });
  await succeed(breaker);
  assert.equal(breaker.state, "closed");
  await fail(breaker);
  assert.equal(breaker.state, "open");
  assert.deepEqual(published, []);
  listener?.({ name: "other", state: "closed" });
  assert.equal(breaker.state, "open");
  listener?.({ name: "db", state: "closed" });
  assert.equal(breaker.state, "half-open");
  await succeed(breaker);
  assert.deepEqual(published, [{ name: "db", state: "closed" }]);
  listener?.({ name: "db", state: "open", openMs: 1000 });
  await runtime.advance(1000);
  await fail(breaker);
  assert.equal(breaker.state, "closed");
});

test("the windows count as a plain list of calls does", () => {
  const step = fc.record({ after: fc.integer({ min: 0, max: 40 }), failed: fc.boolean(), slow: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const [byCount, byTime] = [new CountWindow(7), new TimeWindow(100)];
      const list: { at: number; failed: boolean; slow: boolean }[] = [];
      let now = 5;
      const counts = (calls: typeof list) => [
        calls.length,
        calls.filter(({ failed }) => failed).length,
        calls.filter(({ slow }) => slow).length,
      ];
      for (const { after, failed, slow } of steps) {
        now += after;
        byCount.record(now, failed, slow);
        byTime.record(now, failed, slow);
        list.push({ at: now, failed, slow });
        assert.deepEqual([byCount.calls, byCount.failures, byCount.slow], counts(list.slice(-7)));
        // Whatever the buckets are, what is younger than nine tenths is counted, and nothing that is older than all of it.
        const [least, most] = [
          counts(list.filter(({ at }) => at > now - 90)),
          counts(list.filter(({ at }) => at > now - 100)),
        ];
        for (const [i, count] of [byTime.calls, byTime.failures, byTime.slow].entries())
          assert.ok(count >= (least[i] as number) && count <= (most[i] as number), `${least} <= ${count} <= ${most}`);
      }
    }),
  );
});

test("bad options are refused", () => {
  for (const options of [
    { failureRatio: 0 },
    { failureRatio: 1.1 },
    { window: "1ms" },
    { window: { calls: 5 }, minimumCalls: 6 },
    { slowCallRatio: 0.5 },
    { openFor: "10s", maxOpenFor: "1s" },
    { treshold: 1 },
  ])
    assert.throws(() => circuitBreaker(options as never), { code: "INVALID_ARGUMENT" });
});
