import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { isAshlarError, UnavailableError } from "../core/index.ts";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import { bulkhead } from "./bulkhead.ts";
import { circuitBreaker } from "./circuit-breaker.ts";
import { compose } from "./compose.ts";
import { defaultPolicy } from "./default-policy.ts";
import { hedge } from "./hedge.ts";
import { keyed } from "./keyed.ts";
import type { ExecuteOptions, Operation, Policy } from "./policy.ts";
import { retry } from "./retry.ts";
import { timeout } from "./timeout.ts";

const down = new UnavailableError("down");

test("the first is the outermost: one timeout for all attempts, or one for each", async () => {
  for (const [inner, attempts, elapsed] of [
    [false, 1, 100],
    [true, 3, 300],
  ] as const) {
    const runtime = createManualRuntime();
    const again = retry({ runtime, baseDelay: 0, idempotent: true });
    const limit = timeout(100, { runtime });
    let begun = 0;
    let endedAt = 0;
    const policy = inner ? compose(again, limit) : compose(limit, again);
    const call = policy
      .execute(() => {
        begun++;
        return new Promise(() => {});
      })
      .catch((error: unknown) => {
        endedAt = runtime.clock.monotonic();
        return error;
      });
    await runtime.advance(1000);
    assert.ok(isAshlarError(await call, "TIMEOUT"));
    assert.deepEqual([begun, endedAt], [attempts, elapsed]);
  }
});

test("compositions may be parts of compositions, and share the state of their parts", async () => {
  const breaker = circuitBreaker({ consecutiveFailures: 2 });
  const one = compose(retry({ attempts: 2, baseDelay: 0 }), breaker);
  const two = compose(bulkhead(), compose(breaker));
  await assert.rejects(
    one.execute(() => Promise.reject(down)),
    down,
  );
  assert.equal(breaker.state, "open");
  await assert.rejects(
    two.execute(() => 1),
    (error) => isAshlarError(error, "CIRCUIT_OPEN"),
  );
});

test("a foreign policy is one layer: its signal and its attempts reach what is inside", async () => {
  const controller = new AbortController();
  const foreign: Policy = {
    execute: <T>(operation: Operation<T>, options?: ExecuteOptions) =>
      Promise.resolve(operation({ ...(options as never as object), signal: controller.signal } as never)),
    wrap: () => assert.fail("not used"),
  };
  let seen: AbortSignal | undefined;
  const policy = compose(foreign, retry());
  assert.equal(
    await policy.execute(({ signal }) => {
      seen = signal;
      return 1;
    }),
    1,
  );
  assert.equal(seen, controller.signal);
});

test("an abort goes through all layers with its reason, and leaves no listener and no timer", async () => {
  const runtime = createManualRuntime();
  const policy = compose(
    timeout("10s", { runtime }),
    retry({ runtime }),
    hedge({ idempotent: true, runtime }),
    circuitBreaker({ runtime }),
    bulkhead({ runtime }),
    timeout("1s", { runtime }),
  );
  const controller = new AbortController();
  let inner: AbortSignal | undefined;
  const call = policy.execute(
    ({ signal }) => {
      inner = signal;
      return new Promise(() => {});
    },
    { signal: controller.signal },
  );
  const reason = new Error("gone");
  const outcome = assert.rejects(call, reason);
  controller.abort(reason);
  await outcome;
  assert.equal(inner?.reason, reason);
  await runtime.advance(0);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  assert.equal(runtime.pending, 0);
});

test("a long-lived signal gathers no listeners over many calls", async () => {
  const policy = defaultPolicy();
  const controller = new AbortController();
  for (let i = 0; i < 50; i++) await policy.execute(({ signal }) => signal.aborted, { signal: controller.signal });
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a call's own deadline is an outermost timeout, and the earliest counts", async () => {
  const runtime = createManualRuntime();
  const policy = compose(timeout(200, { runtime, name: "policy" }));
  const seen: number[] = [];
  const hang = (context: { readonly deadline: number }) => {
    seen.push(context.deadline);
    return new Promise<never>(() => {});
  };
  for (const deadline of [100, 300]) {
    const call = assert.rejects(policy.execute(hang, { deadline }), (error) => {
      assert.ok(isAshlarError(error, "TIMEOUT"));
      assert.equal(error.details["name"], deadline === 100 ? "deadline" : "policy");
      return true;
    });
    await runtime.advance(400);
    await call;
  }
  assert.deepEqual(seen, [100, 200]);
});

test("wrap gives the context first, then the arguments", async () => {
  const add = compose(retry()).wrap(({ attempt }, a: number, b: number) => a + b + attempt);
  assert.equal(await add(1, 2), 4);
});

test("each key has a policy of its own; the least recently used is forgotten", async () => {
  const policy = keyed(() => circuitBreaker({ consecutiveFailures: 1 }), { maxKeys: 2 });
  await assert.rejects(
    policy.execute(() => Promise.reject(down), { key: "a" }),
    down,
  );
  assert.equal(await policy.execute(() => 1, { key: "b" }), 1);
  await assert.rejects(
    policy.execute(() => 1, { key: "a" }),
    (error) => isAshlarError(error, "CIRCUIT_OPEN"),
  );
  assert.equal(policy.get("a")?.state, "open");
  await policy.execute(() => 1, { key: "c" });
  assert.deepEqual([policy.size, policy.get("b")], [2, undefined]);
  await assert.rejects(
    policy.execute(() => 1),
    /key/,
  );
});

test("the default policy retries what is safe, within its deadline, and opens its breaker", async () => {
  const runtime = createManualRuntime();
  const policy = defaultPolicy({ runtime, name: "inventory" });
  let attempts = 0;
  const call = policy.execute(() => {
    if (++attempts < 3) throw down;
    return attempts;
  });
  await runtime.advance(10_000);
  assert.equal(await call, 3);
  const failing = Array.from({ length: 20 }, () => policy.execute(() => Promise.reject(down)).catch((error) => error));
  await runtime.advance(20_000);
  const codes = (await Promise.all(failing)).map((error) => (error as { readonly code: string }).code);
  assert.ok(codes.includes("UNAVAILABLE") && codes.includes("CIRCUIT_OPEN"), `${new Set(codes)}`);
});

test("what is no policy, or parts of different runtimes, are refused; so are bad call options", async () => {
  assert.throws(() => compose(), /policies/);
  assert.throws(() => compose({} as Policy), /policies\[0\]/);
  assert.throws(
    () => compose(timeout(1, { runtime: createManualRuntime() }), timeout(1, { runtime: createManualRuntime() })),
    /runtime/,
  );
  const policy = compose(retry());
  await assert.rejects(
    policy.execute(() => 1, { priority: "urgent" as never }),
    /priority/,
  );
  await assert.rejects(
    policy.execute(() => 1, { key: 1 as never }),
    /key/,
  );
  await assert.rejects(
    policy.execute(() => 1, { deadline: -1 }),
    /deadline/,
  );
  await assert.rejects(
    policy.execute(() => 1, { signal: AbortSignal.abort(new Error("gone")) }),
    /gone/,
  );
});
