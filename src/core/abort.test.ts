import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { linkSignals, raceAbort, throwIfAborted, withDeadline } from "./abort.ts";
import { TimeoutError } from "./errors.ts";
import { createManualRuntime } from "./testing/manual-runtime.ts";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;
const reason = new Error("enough");

it("throwIfAborted throws the reason, and only after an abort", () => {
  const controller = new AbortController();
  throwIfAborted(undefined);
  throwIfAborted(controller.signal);
  controller.abort(reason);
  assert.throws(
    () => throwIfAborted(controller.signal),
    (error) => error === reason,
  );
});

describe("raceAbort", () => {
  it("gives the promise's outcome and leaves no listener", async () => {
    const { signal } = new AbortController();
    assert.equal(await raceAbort(Promise.resolve(1), signal), 1);
    await assert.rejects(raceAbort(Promise.reject(reason), signal), (error) => error === reason);
    assert.equal(await raceAbort(Promise.resolve(2), undefined), 2);
    assert.equal(listeners(signal), 0);
  });

  it("rejects at once when the signal aborts, and the loser's rejection is nobody's", async () => {
    const controller = new AbortController();
    const { promise, reject } = Promise.withResolvers<void>();
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", onUnhandled);
    try {
      const race = raceAbort(promise, controller.signal);
      controller.abort(reason);
      await assert.rejects(race, (error) => error === reason);
      assert.equal(listeners(controller.signal), 0);
      reject(new Error("too late"));
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(unhandled, []);
    } finally {
      process.off("unhandledRejection", onUnhandled);
    }
  });

  it("rejects when the signal had aborted before", async () => {
    await assert.rejects(raceAbort(new Promise(() => {}), AbortSignal.abort(reason)), (error) => error === reason);
  });
});

describe("linkSignals", () => {
  it("aborts with the reason of the first to abort, and then leaves no listener on any", () => {
    const [a, b] = [new AbortController(), new AbortController()];
    using linked = linkSignals(a.signal, undefined, b.signal);
    assert.deepEqual([listeners(a.signal), listeners(b.signal)], [1, 1]);
    b.abort(reason);
    a.abort(new Error("later"));
    assert.equal(linked.signal.reason, reason);
    assert.deepEqual([listeners(a.signal), listeners(b.signal)], [0, 0]);
  });

  it("is aborted from the start if one is", () => {
    const fresh = new AbortController();
    assert.equal(linkSignals(fresh.signal, AbortSignal.abort(reason)).signal.reason, reason);
    assert.equal(listeners(fresh.signal), 0);
  });

  it("disposed of follows no more and leaves no listener", () => {
    const controller = new AbortController();
    const linked = linkSignals(controller.signal);
    linked[Symbol.dispose]();
    linked[Symbol.dispose]();
    assert.equal(listeners(controller.signal), 0);
    controller.abort();
    assert.equal(linked.signal.aborted, false);
  });
});

describe("withDeadline", () => {
  it("aborts with a TimeoutError at the deadline, not before", async () => {
    const runtime = createManualRuntime();
    using deadline = withDeadline(runtime, { deadlineMs: 1000, name: "transact" });
    assert.equal(deadline.remaining(), 1000);
    await runtime.advance(999);
    assert.equal(deadline.signal.aborted, false);
    assert.equal(deadline.remaining(), 1);
    await runtime.advance(1);
    const timeout: unknown = deadline.signal.reason;
    assert.ok(timeout instanceof TimeoutError && timeout.definite);
    assert.equal(timeout.message, "transact: not done within 1000 ms; allow more time or find out what is slow");
    await runtime.advance(500);
    assert.equal(deadline.remaining(), 0);
  });

  it("counts on the clock that is never set", async () => {
    const runtime = createManualRuntime();
    using deadline = withDeadline(runtime, { deadlineMs: 1000, name: "transact" });
    runtime.setWallClock(0);
    assert.equal(deadline.remaining(), 1000);
  });

  it("passes on the caller's abort, and then has neither timer nor listener", () => {
    const runtime = createManualRuntime();
    const controller = new AbortController();
    using deadline = withDeadline(runtime, { signal: controller.signal, deadlineMs: 1000, name: "transact" });
    controller.abort(reason);
    assert.equal(deadline.signal.reason, reason);
    assert.equal(runtime.pending, 0);
    assert.equal(listeners(controller.signal), 0);
  });

  it("starts no timer for a caller who had aborted before", () => {
    const runtime = createManualRuntime();
    const deadline = withDeadline(runtime, { signal: AbortSignal.abort(reason), deadlineMs: 1000, name: "transact" });
    assert.equal(deadline.signal.reason, reason);
    assert.equal(runtime.pending, 0);
  });

  it("leaves nothing behind when the deadline passes or it is disposed of", async () => {
    const runtime = createManualRuntime();
    const { signal } = new AbortController();
    const passed = withDeadline(runtime, { signal, deadlineMs: 5, name: "a" });
    await runtime.advance(5);
    assert.equal(passed.signal.aborted, true);
    assert.equal(listeners(signal), 0);
    const disposed = withDeadline(runtime, { signal, deadlineMs: 5, name: "b" });
    disposed[Symbol.dispose]();
    disposed[Symbol.dispose]();
    assert.deepEqual([runtime.pending, listeners(signal), disposed.signal.aborted], [0, 0, false]);
  });

  it("without end has no timer", () => {
    const runtime = createManualRuntime();
    using deadline = withDeadline(runtime, { deadlineMs: Number.POSITIVE_INFINITY, name: "forever" });
    assert.equal(runtime.pending, 0);
    assert.equal(deadline.remaining(), Number.POSITIVE_INFINITY);
  });
});
