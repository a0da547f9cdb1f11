import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError, isAshlarError, LeaseLostError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { leasesOf } from "../lease/index.ts";
import { createIdempotency } from "./index.ts";
import { after, held, open, touchesRecord, ttl } from "./testing/processes.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

test("a process that stood still for longer than its lease: the next caller runs the function, and the late result is refused", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store);
  await using b = open(store);
  const tokens: string[] = [];
  const late = held("late");
  const first = a.answers.run("k", ({ token }) => {
    tokens.push(token);
    return late.fn();
  });
  await after([time, a.runtime], late.begun);
  // From here on, `a` stands still.
  const second = await after(
    [time, b.runtime],
    b.answers.run("k", ({ token, attempt }) => {
      tokens.push(token);
      return `attempt ${attempt}`;
    }),
  );
  assert.deepEqual(second, { value: "attempt 2", replayed: false, attempt: 2 });
  assert.equal(new Set(tokens).size, 1);
  late.end();
  await assert.rejects(after([time], first), (error) => {
    assert.ok(isAshlarError(error, "LEASE_LOST"));
    assert.match(error.message, /ended too late to be recorded: the lease was lost/);
    return true;
  });
  assert.equal(
    (
      await after(
        [time, a.runtime],
        a.answers.run("k", () => "again"),
      )
    ).value,
    "attempt 2",
  );
});

test("a process that is cut off learns it by the signal before another may run the function", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store);
  await using b = open(store);
  let told = 0;
  const cut = a.answers.run("k", async ({ signal }) => {
    a.tap.away = true;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    told = time.clock.monotonic();
    throw signal.reason;
  });
  let began = 0;
  const next = b.answers.run("k", () => {
    began = time.clock.monotonic();
    return "yes";
  });
  const lost = assert.rejects(after([time, a.runtime, b.runtime], cut), (error) => error instanceof LeaseLostError);
  assert.equal((await after([time, a.runtime, b.runtime], next)).attempt, 2);
  await lost;
  assert.ok(told > 0 && told < began, `told at ${told}, begun elsewhere at ${began}`);
});

test("a result under a lease that the engine has ended is refused, even if nobody took over yet", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const run = a.answers.run("k", async () => {
    for await (const { key } of a.engine.kv.list({ prefix: ["lease"] })) await a.engine.kv.delete(key);
    return "late";
  });
  await assert.rejects(after([time], run), code("LEASE_LOST"));
  assert.equal((await a.answers.status("k"))?.state, "retryable");
  assert.deepEqual(
    (
      await after(
        [time],
        a.answers.run("k", () => "in time"),
      )
    ).attempt,
    2,
  );
});

test("a lease that no function runs under any more is not renewed", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  await after(
    [time],
    a.answers.run("k", () => 1),
  );
  await assert.rejects(
    after(
      [time],
      a.answers.run("bad", () => Promise.reject(new Error("no"))),
    ),
    /no/,
  );
  await assert.rejects(
    after(
      [time],
      a.answers.run("final", () => Promise.reject(new InvalidArgumentError("no"))),
    ),
    /no/,
  );
  await after(
    [time],
    a.answers.run("k", () => 1),
  );
  await time.advance(2 * ttl);
  assert.deepEqual(await Array.fromAsync(a.engine.kv.list({ prefix: ["lease"] })), []);
});

test("an engine that is away when the function ends is waited for, as long as the lease lasts", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const work = held("result");
  const running = a.answers.run("k", work.fn);
  await after([time], work.begun);
  a.tap.away = true;
  work.end();
  await time.advance(500);
  a.tap.away = false;
  assert.deepEqual(await after([time], running), { value: "result", replayed: false, attempt: 1 });
  a.tap.away = true;
  await assert.rejects(
    after(
      [time],
      a.answers.run("k", () => "again"),
    ),
    code("UNAVAILABLE"),
  );
  a.tap.away = false;
  assert.equal(
    (
      await after(
        [time],
        a.answers.run("k", () => "again"),
      )
    ).value,
    "result",
  );
});

test("a caller who gives up while it claims the key leaves it free", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store, time);
  await using b = open(store, time);
  const lease = await leasesOf(a.engine).acquire(ttl);
  const controller = new AbortController();
  a.tap.intercept = async (commits, pass) => {
    if (touchesRecord(commits) && !controller.signal.aborted) controller.abort(new Error("enough"));
    return await pass();
  };
  const run = a.answers.run("k", () => assert.fail("runs for nobody"), { signal: controller.signal, fingerprint: 1 });
  await assert.rejects(after([time], run), /enough/);
  // The lease lives on, and still nobody waits for it.
  const outcome = await after(
    [time],
    b.answers.run("k", () => "yes", { wait: 50, fingerprint: 2 }),
  );
  assert.deepEqual(outcome, { value: "yes", replayed: false, attempt: 1 });
  assert.ok(lease.held);
  await assert.rejects(
    a.answers.run("k", () => 1, { signal: controller.signal }),
    /enough/,
  );
});

test("an abort ends a wait at once, and a function that heeds it leaves the key to the next", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store, time);
  await using b = open(store, time);
  const work = held("x");
  const controller = new AbortController();
  const heeding = a.answers.run(
    "k",
    async ({ signal }) => {
      void work.fn();
      return await new Promise<string>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    { signal: controller.signal },
  );
  await after([time], work.begun);
  const waiter = new AbortController();
  const waiting = b.answers.run("k", () => "no", { signal: waiter.signal });
  await time.advance(100);
  waiter.abort(new Error("waited enough"));
  await assert.rejects(waiting, /waited enough/);
  controller.abort(new Error("stop"));
  await assert.rejects(after([time], heeding), /stop/);
  assert.equal(
    (
      await after(
        [time],
        b.answers.run("k", () => "yes"),
      )
    ).attempt,
    2,
  );
});

test("even if every error is final, a function that was told to stop has given no answer", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const final = createIdempotency(a.engine, "final", { ttl, retryable: () => false });
  const controller = new AbortController();
  const stopped = final.run(
    "k",
    ({ signal }) => {
      controller.abort(new Error("stop"));
      throw signal.reason;
    },
    { signal: controller.signal },
  );
  await assert.rejects(after([time], stopped), /stop/);
  const expired = final.transact(
    "k",
    async (tx) => await new Promise((_, reject) => tx.signal.addEventListener("abort", () => reject(tx.signal.reason))),
    { deadline: 100 },
  );
  await assert.rejects(after([time], expired), code("TIMEOUT"));
  assert.equal(
    (
      await after(
        [time],
        final.run("k", () => "yes"),
      )
    ).value,
    "yes",
  );
});

test("after its retention a key is as new; one that runs for longer is kept", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const short = { retention: "10s" } as const;
  await after(
    [time],
    a.answers.run("k", () => 1, { ...short, fingerprint: 1 }),
  );
  await time.advance(9_000);
  assert.equal(
    (
      await after(
        [time],
        a.answers.run("k", () => 2, short),
      )
    ).value,
    1,
  );
  await time.advance(1_000);
  assert.deepEqual(
    await after(
      [time],
      a.answers.run("k", () => 2, { ...short, fingerprint: 2 }),
    ),
    {
      value: 2,
      replayed: false,
      attempt: 1,
    },
  );
  const long = held("long");
  const running = a.answers.run("long", long.fn, short);
  await after([time], long.begun);
  await time.advance(30_000);
  await assert.rejects(
    a.answers.run("long", () => "no", { onInProgress: "refuse" }),
    (error) => {
      assert.ok(isAshlarError(error, "IN_PROGRESS"));
      // As long as it has taken so far, to about a second.
      assert.ok(Math.abs(Number(error.details["retryAfterMs"]) - 30_000) < 1_000);
      return true;
    },
  );
  long.end();
  assert.equal((await after([time], running)).value, "long");
});

test("a function that outlives its record is not recorded over the answer of another run", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const patient = createIdempotency(a.engine, "p", { ttl: "1d", retention: "10s" });
  const slow = held("slow");
  const first = patient.run("k", slow.fn);
  await after([time], slow.begun);
  await time.advance(25 * 3600 * 1000);
  assert.equal(
    (
      await after(
        [time],
        patient.run("k", () => "another"),
      )
    ).value,
    "another",
  );
  slow.end();
  await assert.rejects(after([time], first), code("LEASE_LOST"));
  assert.equal(
    (
      await after(
        [time],
        patient.run("k", () => "again"),
      )
    ).value,
    "another",
  );
});

test("a function of run whose process died is taken over by a transaction", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store);
  await using b = open(store);
  const dead = held("dead");
  const lost = a.answers.run("k", dead.fn);
  await after([time, a.runtime], dead.begun);
  const taken = b.answers.transact("k", (tx, { attempt }) => {
    tx.set(["effect"], attempt);
    return "taken over";
  });
  assert.deepEqual(await after([time, b.runtime], taken), { value: "taken over", replayed: false, attempt: 2 });
  dead.end();
  await assert.rejects(after([time], lost), code("LEASE_LOST"));
});
