import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { ArrivalWindow } from "./arrival-window.ts";
import { createPhiAccrualDetector, createTimeoutDetector, type FailureDetector } from "./index.ts";
import { deviationsAt, negativeLogTail } from "./normal-tail.ts";

async function beat(detector: FailureDetector, runtime: ManualRuntime, intervals: readonly number[]): Promise<void> {
  detector.heartbeat("a");
  for (const interval of intervals) {
    await runtime.advance(interval);
    detector.heartbeat("a");
  }
}

/** The tail by Simpson's rule, and nothing else: slow, and good to some nine digits. */
function tailByIntegration(z: number): number {
  const [from, to, steps] = [z, Math.max(z, 0) + 12, 20_000];
  const width = (to - from) / steps;
  const density = (x: number): number => Math.exp((z > 0 ? z * z - x * x : -x * x) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(from) + density(to);
  for (let i = 1; i < steps; i++) sum += density(from + i * width) * (i % 2 === 1 ? 4 : 2);
  return (sum * width) / 3;
}

test("phi is the logarithm of the tail of the normal distribution, as found by integration", () => {
  fc.assert(
    fc.property(fc.double({ min: -6, max: 60, noNaN: true }), (z) => {
      // Above the mean the density is integrated relative to its value at z, which would underflow.
      const scale = z > 0 ? (z * z) / 2 / Math.LN10 : 0;
      const expected = scale - Math.log10(tailByIntegration(z));
      const actual = negativeLogTail(z);
      assert.ok(Math.abs(actual - expected) <= 1e-7 * Math.max(1, expected), `z ${z}: ${actual}, not ${expected}`);
    }),
    { numRuns: 100 },
  );
});

test("phi grows with silence, without bound and without a step where the method changes", () => {
  let before = negativeLogTail(-40);
  assert.ok(before >= 0);
  for (let z = -39.99; z < 60; z += 0.01) {
    const phi = negativeLogTail(z);
    assert.ok(phi >= before && Number.isFinite(phi), `z ${z}: ${phi} after ${before}`);
    if (z > 0) assert.ok(phi - before < 0.5, `a step at ${z}`);
    before = phi;
  }
  assert.ok(Number.isFinite(negativeLogTail(1e12)));
  assert.equal(negativeLogTail(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
  assert.ok(Math.abs(negativeLogTail(0) - Math.log10(2)) < 1e-15);
});

test("the deviations of a threshold are those at which phi reaches it", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1000, noNaN: true }), (phi) => {
      assert.ok(Math.abs(negativeLogTail(deviationsAt(phi)) - phi) <= 1e-9 * Math.max(1, phi));
    }),
  );
});

test("mean and deviation of a window are those of its last intervals", () => {
  const interval = fc.double({ min: 0, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), fc.array(interval, { minLength: 1, maxLength: 100 }), (size, all) => {
      const window = new ArrivalWindow(size);
      for (const each of all) window.add(each);
      const kept = all.slice(-size);
      const mean = kept.reduce((sum, each) => sum + each, 0) / kept.length;
      const variance = kept.reduce((sum, each) => sum + (each - mean) ** 2, 0) / kept.length;
      assert.ok(Math.abs(window.mean - mean) <= 1e-6);
      assert.ok(Math.abs(window.deviation ** 2 - variance) <= 1e-3 + variance * 1e-9);
    }),
  );
});

test("a peer that beats regularly is suspected after silence in proportion to its interval", async () => {
  const runtime = createManualRuntime();
  await using detector = createPhiAccrualDetector({ runtime, threshold: 8, minStdDeviation: 50 });
  await beat(detector, runtime, Array(1100).fill(1000));
  assert.ok(detector.suspicion("a") < 1e-3);
  const remaining = detector.remaining("a");
  // 5.6 deviations of 50 ms.
  assert.ok(Math.abs(remaining - (1000 + deviationsAt(8) * 50)) < 1, `${remaining}`);
  await runtime.advance(remaining - 1);
  assert.ok(detector.isAvailable("a") && detector.suspicion("a") < 8);
  await runtime.advance(2);
  assert.ok(!detector.isAvailable("a") && detector.suspicion("a") > 8);
  await runtime.advance(1e9);
  assert.ok(Number.isFinite(detector.suspicion("a")) && detector.suspicion("a") > 1e9);
  detector.heartbeat("a");
  assert.ok(detector.isAvailable("a"));
});

test("a peer that beats irregularly is given more time than one that beats regularly", async () => {
  const runtime = createManualRuntime();
  await using even = createPhiAccrualDetector({ runtime });
  await beat(even, runtime, Array(1100).fill(1000));
  await using uneven = createPhiAccrualDetector({ runtime });
  await beat(
    uneven,
    runtime,
    Array.from({ length: 1100 }, (_, i) => (i % 2 === 0 ? 500 : 1500)),
  );
  assert.ok(uneven.remaining("a") > even.remaining("a") + 2000);
});

test("an acceptable pause is forgiven on top", async () => {
  const runtime = createManualRuntime();
  await using strict = createPhiAccrualDetector({ runtime });
  await using lenient = createPhiAccrualDetector({ runtime, acceptableHeartbeatPause: "3s" });
  strict.heartbeat("a");
  lenient.heartbeat("a");
  assert.ok(Math.abs(lenient.remaining("a") - strict.remaining("a") - 3000) < 1e-6);
});

test("an outage is not learned from, but a new rhythm is", async () => {
  const runtime = createManualRuntime();
  await using detector = createPhiAccrualDetector({ runtime });
  await beat(detector, runtime, Array(100).fill(1000));
  const before = detector.remaining("a");
  await runtime.advance(60_000);
  detector.heartbeat("a");
  assert.ok(Math.abs(detector.remaining("a") - before) < 1e-6);
  await runtime.advance(1000);
  detector.heartbeat("a");
  let suspected = 0;
  for (let i = 0; i < 20; i++) {
    await runtime.advance(10_000);
    if (!detector.isAvailable("a")) suspected++;
    detector.heartbeat("a");
  }
  assert.equal(suspected, 2, "from the third beat of the new rhythm on it is trusted");
});

test("a fixed timeout suspects at its end, and the suspicion is the part of it that has passed", async () => {
  const runtime = createManualRuntime();
  await using detector = createTimeoutDetector({ runtime, timeout: "2s" });
  detector.heartbeat("a");
  await runtime.advance(500);
  assert.equal(detector.suspicion("a"), 0.25);
  await runtime.advance(1499);
  assert.ok(detector.isAvailable("a"));
  assert.equal(detector.remaining("a"), 1);
  await runtime.advance(1);
  assert.ok(!detector.isAvailable("a"));
  assert.equal(detector.suspicion("a"), 1);
});

test("the wall clock has no say", async () => {
  const runtime = createManualRuntime();
  await using detector = createTimeoutDetector({ runtime, timeout: "2s" });
  detector.heartbeat("a");
  runtime.setWallClock(0);
  assert.equal(detector.suspicion("a"), 0);
  runtime.setWallClock(9e12);
  assert.ok(detector.isAvailable("a"));
});

test("a peer that is not known is not available, and is forgotten with all that was learned", async () => {
  const runtime = createManualRuntime();
  await using detector = createPhiAccrualDetector({ runtime });
  assert.equal(detector.suspicion("a"), Number.POSITIVE_INFINITY);
  assert.ok(!detector.isAvailable("a"));
  detector.heartbeat("a");
  assert.deepEqual(detector.peers(), ["a"]);
  assert.equal(detector.forget("a"), true);
  assert.equal(detector.forget("a"), false);
  assert.ok(!detector.isAvailable("a"));
});

test("transitions are told to who watches, the suspected first, and timers run only meanwhile", async () => {
  const runtime = createManualRuntime();
  await using detector = createTimeoutDetector({ runtime, timeout: 1000 });
  detector.heartbeat("early");
  await runtime.advance(1500);
  detector.heartbeat("a");
  assert.equal(runtime.pending, 0);
  const watching = detector.watch();
  assert.deepEqual((await watching.next()).value, { peer: "early", status: "suspected", silence: 1500 });
  assert.equal(runtime.pending, 1);
  const next = watching.next();
  await runtime.advance(900);
  detector.heartbeat("a");
  await runtime.advance(999);
  detector.heartbeat("b");
  await runtime.advance(1);
  assert.deepEqual((await next).value, { peer: "a", status: "suspected", silence: 1000 });
  detector.heartbeat("early");
  assert.deepEqual((await watching.next()).value, { peer: "early", status: "restored", silence: 3400 });
  // Over before it could be shown.
  await runtime.advance(5000);
  detector.heartbeat("early");
  assert.deepEqual((await watching.next()).value, { peer: "b", status: "suspected", silence: 1000 });
  await watching.return?.();
  assert.equal(runtime.pending, 0);
});

test("heartbeats that waited while this process was held up are heard before anybody is judged", async () => {
  const runtime = createManualRuntime();
  await using detector = createTimeoutDetector({ runtime, timeout: 1000 });
  detector.heartbeat("a");
  const watching = detector.watch();
  const first = watching.next();
  // Due at the same moment, and set later than the detector's timer.
  runtime.timers.after(1000, () => detector.heartbeat("a"));
  await runtime.advance(1999);
  assert.ok(detector.isAvailable("a"));
  await runtime.advance(1);
  assert.equal((await first).value?.silence, 1000);
  await watching.return?.();
});

test("a watch ends with the detector, or by its signal with its reason", async () => {
  const runtime = createManualRuntime();
  const detector = createTimeoutDetector({ runtime, timeout: 1000 });
  const controller = new AbortController();
  const aborted = detector.watch({ signal: controller.signal }).next();
  const ended = detector.watch().next();
  controller.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  await detector.close();
  await detector.close();
  assert.deepEqual(await ended, { done: true, value: undefined });
  assert.throws(
    () => detector.heartbeat("a"),
    (error) => isAshlarError(error, "CLOSED"),
  );
});

test("more peers than allowed are refused, and what is not allowed is said", () => {
  const detector = createTimeoutDetector({ timeout: 1000, maxPeers: 2 });
  detector.heartbeat("a");
  detector.heartbeat("b");
  detector.heartbeat("a");
  assert.throws(
    () => detector.heartbeat("c"),
    (error) => isAshlarError(error, "LIMIT"),
  );
  detector.forget("a");
  detector.heartbeat("c");
  const invalid = (fn: () => unknown): void => assert.throws(fn, (error) => isAshlarError(error, "INVALID_ARGUMENT"));
  invalid(() => detector.heartbeat(""));
  invalid(() => createTimeoutDetector({ timeout: 0 }));
  invalid(() => createTimeoutDetector({ timeout: 1000, threshold: 8 } as never));
  invalid(() => createTimeoutDetector({ timeout: 1000, maxPeers: 0 }));
  for (const threshold of [0, -1, Number.NaN, 1001, Number.POSITIVE_INFINITY])
    invalid(() => createPhiAccrualDetector({ threshold }));
  invalid(() => createPhiAccrualDetector({ windowSize: 1 }));
  invalid(() => createPhiAccrualDetector({ minStdDeviation: 0 }));
  invalid(() => createPhiAccrualDetector({ treshold: 8 } as never));
});
