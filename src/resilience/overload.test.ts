import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isAshlarError, UnavailableError } from "../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../core/testing/manual-runtime.ts";
import { adaptiveConcurrency } from "./adaptive-concurrency.ts";
import { loadShedding } from "./load-shedding.ts";
import type { Policy, Priority } from "./policy.ts";
import { retry } from "./retry.ts";
import { retryBudget } from "./retry-budget.ts";

/** A server with so many workers: each call takes `workMs` of one; the others queue. */
function server(runtime: ManualRuntime, workers: number, workMs: number) {
  let busy = 0;
  const queue: (() => void)[] = [];
  const settings = { workMs };
  return {
    settings,
    async call(): Promise<void> {
      if (busy >= workers) await new Promise<void>((resolve) => void queue.push(resolve));
      else busy++;
      await new Promise<void>((resolve) => void runtime.timers.after(settings.workMs, resolve));
      const next = queue.shift();
      if (next) next();
      else busy--;
    },
  };
}

async function drive(runtime: ManualRuntime, policy: Policy, call: () => Promise<void>, perMs: number, ms: number) {
  const outcomes = { done: 0, refused: 0 };
  for (let at = 0; at < ms; at++) {
    for (let i = 0; i < perMs; i++) {
      policy.execute(call).then(
        () => outcomes.done++,
        () => outcomes.refused++,
      );
    }
    await runtime.advance(1);
  }
  await runtime.advance(10_000);
  return outcomes;
}

describe("adaptive concurrency", () => {
  for (const algorithm of ["gradient", "vegas"] as const) {
    test(`${algorithm}: settles near what the server has, refuses the rest, and keeps the server busy`, async () => {
      const runtime = createManualRuntime();
      const policy = adaptiveConcurrency({ algorithm, max: 400, runtime });
      const { call } = server(runtime, 10, 10);
      const outcomes = await drive(runtime, policy, call, 3, 3000);
      assert.ok(policy.limit >= 8 && policy.limit <= 60, `limit ${policy.limit}`);
      // One a millisecond is all that it can serve.
      assert.ok(outcomes.done > 2500, `${outcomes.done} done`);
      assert.ok(outcomes.refused > 3000, `${outcomes.refused} refused`);
    });
  }

  test("gradient: does not drift while an overload lasts, and adapts to a server that has become slower", async () => {
    const runtime = createManualRuntime();
    const policy = adaptiveConcurrency({ max: 400, runtime });
    const { call, settings } = server(runtime, 10, 10);
    await drive(runtime, policy, call, 3, 10_000);
    assert.ok(policy.limit >= 3 && policy.limit <= 40, `limit ${policy.limit}`);
    settings.workMs = 40;
    const outcomes = await drive(runtime, policy, call, 1, 10_000);
    assert.ok(outcomes.done > 2000, `${outcomes.done} done of the 2,500 that it could serve`);
  });

  test("aimd: grows while it is used, and a tenth goes with each drop", async () => {
    const runtime = createManualRuntime();
    const policy = adaptiveConcurrency({ algorithm: "aimd", initial: 10, max: 50, runtime });
    const work = () => new Promise<void>((resolve) => void runtime.timers.after(10, () => resolve()));
    await drive(runtime, policy, work, 3, 500);
    assert.ok(policy.limit > 20, `${policy.limit}`);
    const before = policy.limit;
    await assert.rejects(policy.execute(() => Promise.reject({ status: 503 })));
    assert.equal(policy.limit, Math.floor(before * 0.9));
    await assert.rejects(policy.execute(() => Promise.reject(new UnavailableError("no drop"))));
    assert.equal(policy.limit, Math.floor(before * 0.9));
  });

  test("an idle limit does not grow", async () => {
    const runtime = createManualRuntime();
    const policy = adaptiveConcurrency({ initial: 50, runtime });
    for (let i = 0; i < 500; i++) {
      const call = policy.execute(() => new Promise<void>((resolve) => void runtime.timers.after(1, () => resolve())));
      await runtime.advance(1);
      await call;
    }
    assert.equal(policy.limit, 50);
  });

  test("bad options are refused", () => {
    assert.throws(() => adaptiveConcurrency({ algorithm: "magic" as never }), /algorithm/);
    assert.throws(() => adaptiveConcurrency({ min: 10, max: 5 }), /max/);
    assert.throws(() => adaptiveConcurrency({ initial: 0 }), /initial/);
  });
});

describe("load shedding", () => {
  const overload = async (priorities: readonly Priority[]) => {
    const runtime = createManualRuntime();
    const policy = loadShedding({ concurrency: 5, queue: 50, runtime });
    const work = () => new Promise<void>((resolve) => void runtime.timers.after(10, () => resolve()));
    const done = new Map<Priority, number>();
    const offered = new Map<Priority, number>();
    let least: Priority = "low";
    // Twice what it can serve.
    for (let at = 0; at < 4000; at++) {
      const priority = priorities[at % priorities.length] as Priority;
      offered.set(priority, (offered.get(priority) ?? 0) + 1);
      policy.execute(work, { priority }).then(
        () => done.set(priority, (done.get(priority) ?? 0) + 1),
        (error) => assert.ok(isAshlarError(error, "OVERLOADED")),
      );
      await runtime.advance(1);
      if (policy.admits !== "low") least = policy.admits;
    }
    await runtime.advance(5000);
    assert.deepEqual([policy.active, policy.waiting], [0, 0]);
    const share = (priority: Priority) => (done.get(priority) ?? 0) / (offered.get(priority) ?? 1);
    return { share, least, policy, runtime };
  };

  test("the least important is shed first, the critical never while there is room for them", async () => {
    const { share, least } = await overload(["critical", "normal", "low", "low"]);
    assert.notEqual(least, "low");
    assert.ok(share("critical") > 0.99, `critical ${share("critical")}`);
    assert.ok(share("normal") > 0.9, `normal ${share("normal")}`);
    assert.ok(share("low") < 0.3, `low ${share("low")}`);
  });

  test("nothing is shed any more when the overload is over", async () => {
    const { policy, runtime } = await overload(["normal", "low"]);
    for (let i = 0; i < 5; i++) {
      await policy.execute(() => 1, { priority: "critical" });
      await runtime.advance(200);
    }
    assert.equal(policy.admits, "low");
    assert.equal(await policy.execute(() => 1, { priority: "low" }), 1);
  });

  test("in a full queue a more important call takes the place of the least important", async () => {
    const runtime = createManualRuntime();
    const policy = loadShedding({ concurrency: 1, queue: 1, queueTimeout: "10s", runtime });
    const gate = Promise.withResolvers<void>();
    const inside = policy.execute(() => gate.promise);
    const low = assert.rejects(
      policy.execute(() => 1, { priority: "low" }),
      (error) => isAshlarError(error, "OVERLOADED"),
    );
    const critical = policy.execute(() => "critical", { priority: "critical" });
    await low;
    await assert.rejects(
      policy.execute(() => 1, { priority: "normal" }),
      (error) => isAshlarError(error, "OVERLOADED"),
    );
    gate.resolve();
    await inside;
    assert.equal(await critical, "critical");
  });

  test("bad options are refused", () => {
    assert.throws(() => loadShedding({ concurrency: 0 }), /concurrency/);
    assert.throws(() => loadShedding({ interval: 0 }), /interval/);
    assert.throws(() => loadShedding({ priority: 1 } as never), /priority/);
  });
});

describe("retry budget", () => {
  test("never more retries than capacity, a part of the calls, and so many a second", () => {
    const step = fc.record({
      calls: fc.integer({ min: 0, max: 20 }),
      tries: fc.integer({ min: 0, max: 20 }),
      ms: fc.integer({ min: 0, max: 500 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const runtime = createManualRuntime();
        let now = 0;
        const clock = { ...runtime.clock, monotonic: () => now };
        const budget = retryBudget({ ratio: 0.2, minPerSecond: 2, capacity: 10, runtime: { ...runtime, clock } });
        let calls = 0;
        let retries = 0;
        for (const each of steps) {
          now += each.ms;
          for (let i = 0; i < each.calls; i++) budget.deposit();
          calls += each.calls;
          for (let i = 0; i < each.tries; i++) if (budget.withdraw()) retries++;
          assert.ok(retries <= 10 + 0.2 * calls + (2 * now) / 1000 + 1e-6);
          assert.ok(budget.balance <= 10);
        }
      }),
    );
  });

  test("an outage does not multiply the load: attempts stay within the budget", async () => {
    const runtime = createManualRuntime();
    const budget = retryBudget({ ratio: 0.1, minPerSecond: 0, capacity: 20, runtime });
    const policy = retry({ attempts: 10, baseDelay: 1, maxDelay: 1, budget, runtime });
    let attempts = 0;
    const calls = Array.from({ length: 500 }, () =>
      policy
        .execute(() => {
          attempts++;
          return Promise.reject(new UnavailableError("down"));
        })
        .catch(() => {}),
    );
    await runtime.advance(1000);
    await Promise.all(calls);
    assert.ok(attempts <= 500 + 20 + 50, `${attempts} attempts for 500 calls`);
  });

  test("bad options are refused", () => {
    assert.throws(() => retryBudget({ ratio: -1 }), /ratio/);
    assert.throws(() => retryBudget({ capacity: 0 }), /capacity/);
    assert.throws(() => retryBudget({ tokens: 1 } as never), /tokens/);
  });
});
