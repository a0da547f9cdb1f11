import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it, mock } from "node:test";
import { InvalidArgumentError } from "./errors.ts";
import { sleep, systemRuntime } from "./runtime.ts";
import { createManualRuntime } from "./testing/manual-runtime.ts";

describe("the system's runtime", () => {
  it("has a wall clock and a clock that never goes back", () => {
    assert.ok(Math.abs(systemRuntime.clock.now() - Date.now()) < 1000);
    let last = systemRuntime.clock.monotonic();
    for (let i = 0; i < 10_000; i++) {
      const next = systemRuntime.clock.monotonic();
      assert.ok(next >= last);
      last = next;
    }
  });

  it("draws numbers in [0, 1) and fresh bytes", () => {
    for (let i = 0; i < 1000; i++) {
      const next = systemRuntime.random.next();
      assert.ok(next >= 0 && next < 1);
    }
    assert.equal(systemRuntime.random.bytes(0).length, 0);
    assert.notDeepEqual(systemRuntime.random.bytes(16), systemRuntime.random.bytes(16));
  });

  it("runs a timer after its delay, not before", async () => {
    const start = systemRuntime.clock.monotonic();
    await new Promise<void>((resolve) => void systemRuntime.timers.after(20, resolve));
    // Node's timers count whole milliseconds from the start of the loop's turn.
    assert.ok(systemRuntime.clock.monotonic() - start >= 19);
  });

  it("does not run what was cancelled, and cancels twice without harm", async () => {
    let ran = 0;
    const timers = [systemRuntime.timers.after(0, () => ran++), systemRuntime.timers.immediate(() => ran++)];
    for (const timer of timers) {
      timer.cancel();
      timer.cancel();
    }
    const late = await new Promise<{ cancel(): void }>((resolve) => {
      const timer = systemRuntime.timers.after(5, () => resolve(timer));
    });
    late.cancel();
    assert.equal(ran, 0);
  });

  it("waits longer than Node's longest timer, where Node itself would not wait at all", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      let ran = 0;
      const month = 30 * 86_400_000;
      systemRuntime.timers.after(month, () => ran++);
      const cancelled = systemRuntime.timers.after(month, () => assert.fail("was cancelled"));
      mock.timers.tick(2 ** 31 - 1);
      cancelled.cancel();
      mock.timers.tick(month - 2 ** 31);
      assert.equal(ran, 0);
      mock.timers.tick(1);
      assert.equal(ran, 1);
    } finally {
      mock.timers.reset();
    }
  });

  it("refuses delays that are not numbers of 0 or more", () => {
    for (const ms of [Number.NaN, -1])
      assert.throws(() => systemRuntime.timers.after(ms, () => {}), InvalidArgumentError);
  });

  it("runs an immediate after pending microtasks", async () => {
    const order: string[] = [];
    const done = new Promise<void>((resolve) => {
      systemRuntime.timers.immediate(() => {
        order.push("immediate");
        resolve();
      });
    });
    void Promise.resolve()
      .then(() => order.push("first"), null)
      .then(() => order.push("second"));
    await done;
    assert.deepEqual(order, ["first", "second", "immediate"]);
  });
});

describe("sleep", () => {
  it("resolves when the time has passed", async () => {
    const runtime = createManualRuntime();
    let awake = false;
    const sleeping = sleep(runtime, 1000).then(() => {
      awake = true;
    });
    await runtime.advance(999);
    assert.equal(awake, false);
    await runtime.advance(1);
    await sleeping;
  });

  it("rejects with the signal's reason, and leaves neither timer nor listener", async () => {
    const runtime = createManualRuntime();
    const controller = new AbortController();
    const sleeping = sleep(runtime, 1000, { signal: controller.signal });
    assert.equal(runtime.pending, 1);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(sleeping, (error) => error === reason);
    assert.equal(runtime.pending, 0);
    await assert.rejects(sleep(runtime, 1000, { signal: controller.signal }), (error) => error === reason);
    assert.equal(runtime.pending, 0);
  });

  it("that ends leaves no listener on its signal", async () => {
    const runtime = createManualRuntime();
    const { signal } = new AbortController();
    const sleeping = sleep(runtime, 10, { signal });
    assert.equal(getEventListeners(signal, "abort").length, 1);
    await runtime.advance(10);
    await sleeping;
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

it("the real runtime takes no rare paths", () => {
  assert.equal(systemRuntime.maybe("anything"), false);
});
