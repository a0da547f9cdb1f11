import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../core/index.ts";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import { bulkhead } from "./bulkhead.ts";
import { compose } from "./compose.ts";
import { timeout } from "./timeout.ts";

const overloaded = (why: string) => (error: unknown) =>
  isAshlarError(error, "OVERLOADED") && error.details["why"] === why;

test("at most so many at a time, the next in order of arrival, the rest refused before it began", async () => {
  const policy = bulkhead({ concurrency: 2, queue: 2 });
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<number>());
  const begun: number[] = [];
  const calls = gates.map((gate, i) =>
    policy.execute(() => {
      begun.push(i);
      return gate.promise;
    }),
  );
  assert.deepEqual([policy.active, policy.waiting], [2, 2]);
  await assert.rejects(
    policy.execute(() => assert.fail("begun")),
    overloaded("queue full"),
  );
  gates[1]?.resolve(1);
  assert.equal(await calls[1], 1);
  await new Promise(setImmediate);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const gate of gates) gate.resolve(0);
  await Promise.all(calls);
  assert.deepEqual(begun, [0, 1, 2, 3]);
  assert.deepEqual([policy.active, policy.waiting], [0, 0]);
});

test("a place is given back however the operation ends", async () => {
  const policy = bulkhead({ concurrency: 1, queue: 0 });
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      policy.execute(() => Promise.reject(new Error("late"))),
      /late/,
    );
    await assert.rejects(
      policy.execute(() => {
        throw new Error("at once");
      }),
      /at once/,
    );
  }
  assert.equal(await policy.execute(() => 1), 1);
  assert.equal(policy.active, 0);
});

test("who waits too long is refused, and who aborts leaves the queue with its reason; no timer or listener stays", async () => {
  const runtime = createManualRuntime();
  const policy = bulkhead({ concurrency: 1, queue: 5, queueTimeout: 100, runtime });
  const gate = Promise.withResolvers<void>();
  const inside = policy.execute(() => gate.promise);
  const late = assert.rejects(
    policy.execute(() => assert.fail("begun")),
    overloaded("queue timeout"),
  );
  const controller = new AbortController();
  const aborted = assert.rejects(
    policy.execute(() => assert.fail("begun"), { signal: controller.signal }),
    /enough/,
  );
  assert.equal(policy.waiting, 2);
  controller.abort(new Error("enough"));
  await aborted;
  assert.equal(policy.waiting, 1);
  await runtime.advance(100);
  await late;
  gate.resolve();
  await inside;
  await runtime.advance(1);
  assert.deepEqual([policy.active, policy.waiting, runtime.pending], [0, 0, 0]);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("what ignores its signal keeps its place until it ends", async () => {
  const runtime = createManualRuntime();
  const places = bulkhead({ concurrency: 1, queue: 0, runtime });
  const policy = compose(timeout(100, { runtime }), places);
  const gate = Promise.withResolvers<void>();
  const call = policy.execute(() => gate.promise);
  const freed = assert.rejects(call, (error) => isAshlarError(error, "TIMEOUT"));
  await runtime.advance(100);
  await freed;
  assert.equal(places.active, 1);
  gate.resolve();
  await runtime.advance(0);
  assert.equal(places.active, 0);
});

test("never more than `concurrency` inside, whatever calls come, end, abort and time out", async () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant("call" as const),
      lasts: fc.integer({ min: 0, max: 50 }),
      abortAt: fc.integer({ min: 0, max: 60 }),
    }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 40 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 30 }), async (concurrency, steps) => {
      const runtime = createManualRuntime();
      const policy = bulkhead({ concurrency, queue: 3, queueTimeout: 30, runtime });
      let inside = 0;
      const calls: Promise<unknown>[] = [];
      for (const each of steps) {
        if (each.do === "wait") await runtime.advance(each.ms);
        else {
          const controller = new AbortController();
          runtime.timers.after(each.abortAt, () => controller.abort(new Error("gone")));
          const operation = async (): Promise<void> => {
            assert.ok(++inside <= concurrency);
            await new Promise<void>((resolve) => void runtime.timers.after(each.lasts, resolve));
            inside--;
          };
          calls.push(policy.execute(operation, { signal: controller.signal }).catch((error: unknown) => error));
        }
        assert.ok(policy.active <= concurrency && policy.waiting <= 3);
      }
      await runtime.advance(1000);
      await Promise.all(calls);
      assert.deepEqual([policy.active, policy.waiting, inside, runtime.pending], [0, 0, 0, 0]);
    }),
    { numRuns: 60 },
  );
});

test("refusals are announced, and bad options refused", async () => {
  const seen: unknown[] = [];
  const listen = (message: unknown) => seen.push(message);
  subscribe("ashlar:bulkhead:refused", listen);
  const policy = bulkhead({ concurrency: 1, queue: 0, name: "inventory" });
  const gate = Promise.withResolvers<void>();
  const inside = policy.execute(() => gate.promise);
  await assert.rejects(policy.execute(() => 1));
  unsubscribe("ashlar:bulkhead:refused", listen);
  gate.resolve();
  await inside;
  assert.deepEqual(seen, [{ name: "inventory", why: "queue full" }]);
  for (const concurrency of [0, 1.5, Number.NaN]) assert.throws(() => bulkhead({ concurrency }), /concurrency/);
  assert.throws(() => bulkhead({ queue: -1 }), /queue/);
  assert.throws(() => bulkhead({ queueTimeout: -1 }), /queueTimeout/);
  assert.throws(() => bulkhead({ limit: 3 } as object), /options\.limit/);
});
