import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../core/index.ts";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import { compose } from "./compose.ts";
import { timeout } from "./timeout.ts";

const never = (): Promise<never> => new Promise(() => {});

test("the result and the error of an operation come through", async () => {
  const policy = timeout("1s");
  assert.equal(await policy.execute(() => 1), 1);
  assert.equal(await policy.execute(async () => 2), 2);
  const error = new Error("its own");
  await assert.rejects(
    policy.execute(() => {
      throw error;
    }),
    error,
  );
  assert.equal(policy.pending, 0);
});

test("an operation that ignores its signal does not hold the caller, and its late rejection is not unhandled", async () => {
  const runtime = createManualRuntime();
  const operation = Promise.withResolvers<never>();
  let signal: AbortSignal | undefined;
  const call = timeout(1000, { runtime, name: "inventory" }).execute((context) => {
    signal = context.signal;
    return operation.promise;
  });
  const outcome = assert.rejects(call, (error) => {
    assert.ok(isAshlarError(error, "TIMEOUT"));
    assert.equal(error.definite, false);
    assert.deepEqual(error.details, { name: "inventory", timeoutMs: 1000 });
    assert.equal(signal?.reason, error);
    return true;
  });
  await runtime.advance(999);
  assert.equal(signal?.aborted, false);
  await runtime.advance(1);
  await outcome;
  operation.reject(new Error("late"));
  await runtime.advance(10);
  assert.equal(runtime.pending, 0);
});

test("a cooperative timeout waits for the operation and takes its late result", async () => {
  const runtime = createManualRuntime();
  const policy = timeout(100, { runtime, cooperative: true });
  const late = Promise.withResolvers<string>();
  const failing = Promise.withResolvers<string>();
  let settled = 0;
  const first = policy.execute(() => late.promise).finally(() => settled++);
  const second = policy.execute(() => failing.promise).finally(() => settled++);
  const refused = assert.rejects(second, { code: "TIMEOUT" });
  await runtime.advance(200);
  assert.equal(settled, 0);
  late.resolve("after all");
  failing.reject(new Error("stopped"));
  assert.equal(await first, "after all");
  await refused;
});

test("calls that end in time leave no timer after the next turn", async () => {
  const runtime = createManualRuntime();
  const policy = timeout(1000, { runtime });
  for (let i = 0; i < 100; i++) await policy.execute(async () => i);
  await runtime.advance(0);
  assert.equal(runtime.pending, 0);
});

test("each of many calls expires when its own time is up", async () => {
  const runtime = createManualRuntime();
  const policy = timeout(50, { runtime });
  const ended: number[] = [];
  for (let i = 0; i < 10; i++) {
    policy.execute(never).catch(() => ended.push(runtime.clock.monotonic()));
    await runtime.advance(7);
  }
  await runtime.advance(100);
  assert.deepEqual(
    ended,
    Array.from({ length: 10 }, (_, i) => i * 7 + 50),
  );
});

test("the caller's abort frees the caller, with its reason, and leaves no listener", async () => {
  const policy = timeout("1s");
  const controller = new AbortController();
  const reason = new Error("gone");
  let inner: AbortSignal | undefined;
  const call = policy.execute(
    ({ signal }) => {
      inner = signal;
      return never();
    },
    { signal: controller.signal },
  );
  controller.abort(reason);
  await assert.rejects(call, reason);
  assert.equal(inner?.reason, reason);
  assert.equal(policy.pending, 0);
  let begun = false;
  await assert.rejects(
    policy.execute(
      () => {
        begun = true;
      },
      { signal: controller.signal },
    ),
    reason,
  );
  assert.equal(begun, false);
});

test("an inner timeout never exceeds the deadline around it, and the context says what is left", async () => {
  const runtime = createManualRuntime();
  const policy = compose(timeout(100, { runtime, name: "outer" }), timeout(500, { runtime, name: "inner" }));
  let left = 0;
  const call = policy.execute((context) => {
    left = context.deadline;
    return never();
  });
  const outcome = assert.rejects(call, { details: { name: "outer", timeoutMs: 100 } });
  assert.equal(left, 100);
  await runtime.advance(100);
  await outcome;
});

test("the option `deadline` of a call bounds it, and passes on through a nested policy", async () => {
  const runtime = createManualRuntime();
  const outer = timeout(10_000, { runtime });
  const inner = timeout(5_000, { runtime });
  let left = 0;
  const call = outer.execute(
    (context) =>
      inner.execute((nested) => {
        left = nested.deadline;
        return never();
      }, context),
    { deadline: 300 },
  );
  const outcome = assert.rejects(call, { code: "TIMEOUT", details: { name: "deadline", timeoutMs: 300 } });
  assert.equal(left, 300);
  await runtime.advance(300);
  await outcome;
});

test("bad options are refused", () => {
  assert.throws(() => timeout(0), { code: "INVALID_ARGUMENT" });
  assert.throws(() => timeout("1s", { cooperativ: true } as never), /options.cooperativ/);
});
