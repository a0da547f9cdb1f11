import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError, isAshlarError, OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { createEngine, type Engine } from "../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../engine/memory/index.ts";
import { createFaultyDriver } from "../../engine/testing/faulty-driver.ts";
import { seededRuntime } from "../../engine/testing/seeded.ts";
import { leasesOf } from "../lease/index.ts";
import { createIdempotency, isReplayed } from "./index.ts";
import { after, held, open, touchesRecord, ttl } from "./testing/processes.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

test("answers to commits that are lost: the function runs once, and its result is recorded once", async () => {
  for (const [lostClaims, lostResults] of [
    [1, 0],
    [0, 1],
    [2, 2],
  ] as const) {
    const time = createManualRuntime();
    await using a = open(new MemoryStore(time), time);
    await leasesOf(a.engine).acquire(ttl);
    let [claims, results] = [lostClaims as number, lostResults as number];
    let runs = 0;
    let ended = false;
    a.tap.intercept = async (commits, pass) => {
      const outcomes = await pass();
      if (touchesRecord(commits) && (ended ? results-- : claims--) > 0)
        throw new OutcomeUnknownError("injected: the answer is lost");
      return outcomes;
    };
    const outcome = await after(
      [time],
      a.answers.run("k", () => {
        ended = true;
        return ++runs;
      }),
    );
    assert.deepEqual(outcome, { value: 1, replayed: false, attempt: 1 });
    assert.ok(claims <= 0 && results <= 0, "the answers were lost");
    assert.deepEqual(
      await after(
        [time],
        a.answers.run("k", () => ++runs),
      ),
      { value: 1, replayed: true, attempt: 1 },
    );
  }
});

test("a claim that arrives late, after it was made again, changes nothing", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  await leasesOf(a.engine).acquire(ttl);
  let arrive: (() => unknown) | undefined;
  a.tap.intercept = (commits, pass) => {
    if (arrive || !touchesRecord(commits)) return pass();
    arrive = pass;
    throw new OutcomeUnknownError("injected: still under way");
  };
  let runs = 0;
  assert.equal(
    (
      await after(
        [time],
        a.answers.run("k", () => ++runs),
      )
    ).value,
    1,
  );
  await arrive?.();
  assert.deepEqual(
    await after(
      [time],
      a.answers.run("k", () => ++runs),
    ),
    { value: 1, replayed: true, attempt: 1 },
  );
});

test("transact: a commit whose answer is lost for good is found by its record, and else reported as unknown", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time, true);
  let applied = true;
  a.tap.intercept = async (commits, pass) => {
    // A commit of one key is one that would settle another.
    if (commits.every(({ mutations }) => mutations.length === 1))
      throw new OutcomeUnknownError("injected: not settled");
    if (applied) await pass();
    throw new OutcomeUnknownError("injected: the answer is lost");
  };
  const pay = (key: string) =>
    a.answers.transact(key, (tx) => {
      tx.add(["paid", key], 1);
      return "paid";
    });
  assert.deepEqual(await after([time], pay("one")), { value: "paid", replayed: false, attempt: 1 });
  applied = false;
  await assert.rejects(after([time], pay("two")), code("OUTCOME_UNKNOWN"));
  a.tap.intercept = undefined;
  assert.deepEqual(await after([time], pay("one")), { value: "paid", replayed: true, attempt: 1 });
  assert.deepEqual(await after([time], pay("two")), { value: "paid", replayed: false, attempt: 1 });
  for (const key of ["one", "two"]) assert.equal((await a.engine.kv.get(["paid", key]))?.value, 1);
});

test("a final error of a transaction that cannot be recorded is not told as the answer", async () => {
  const time = createManualRuntime();
  await using a = open(new MemoryStore(time), time);
  const declined = new InvalidArgumentError("declined");
  const failing = a.answers.transact("k", async (tx) => {
    await tx.get(["balance"]);
    a.tap.intercept = () => {
      throw new UnavailableError("injected: away");
    };
    throw declined;
  });
  await assert.rejects(after([time], failing), (error) => {
    assert.ok(isAshlarError(error, "OUTCOME_UNKNOWN"));
    assert.ok(error.cause instanceof AggregateError && error.cause.errors[0] === declined);
    return true;
  });
  a.tap.intercept = undefined;
  assert.equal(
    (
      await after(
        [time],
        a.answers.transact("k", () => "yes"),
      )
    ).value,
    "yes",
  );
});

test("a final error of a transaction gives way to a function that has begun meanwhile, and to its answer", async () => {
  const time = createManualRuntime();
  const store = new MemoryStore(time);
  await using a = open(store, time);
  await using b = open(store, time);
  const work = held("from run");
  let running: Promise<unknown> | undefined;
  const failing = a.answers.transact("k", async (tx) => {
    await tx.get(["balance"]);
    running ??= b.answers.run("k", work.fn);
    await work.begun;
    throw new InvalidArgumentError("declined");
  });
  await after([time], work.begun);
  await time.advance(100);
  work.end();
  assert.deepEqual(await after([time], failing), { value: "from run", replayed: true, attempt: 1 });
  await running;
});

test("over bad connections a transaction happens once for each key, and all callers are told the same", async () => {
  let doubts = 0;
  for (let seed = 1; seed <= 15; seed++) {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore(runtime);
    const faults = { refused: 0.1, answerLost: 0.1, late: 0.05, read: 0.05, reset: 0.2 };
    const clients = Array.from({ length: 3 }, () => createFaultyDriver(createMemoryDriver(store), runtime, faults));
    const engines = clients.map(({ driver }) => createEngine(driver, { runtime }));
    const told = new Map<string, Set<string>>();
    const runs = new Map<string, number>();
    const call = async (engine: Engine, i: number): Promise<void> => {
      const answers = createIdempotency(engine, "p");
      const key = `key ${i % 4}`;
      for (;;) {
        try {
          const { value } = await (i % 2
            ? answers.transact(key, (tx) => {
                tx.add(["effect", key], 1);
                return `transaction ${i}`;
              })
            : answers.run(key, () => {
                runs.set(key, (runs.get(key) ?? 0) + 1);
                return `run ${i}`;
              }));
          told.set(key, (told.get(key) ?? new Set()).add(value));
          return;
        } catch (error) {
          if (!isAshlarError(error) || isReplayed(error) || error.code === "INVALID_STATE") throw error;
        }
      }
    };
    await Promise.all(engines.flatMap((engine) => Array.from({ length: 12 }, (_, i) => call(engine, i))));
    for (const [key, values] of told) {
      assert.equal(values.size, 1, `seed ${seed}, ${key}: ${[...values].join(", ")}`);
      const effect = await effectOf(store, key);
      assert.equal(effect, [...values].join().startsWith("transaction") ? 1 : 0, `seed ${seed}, ${key}`);
      // Nobody died, and no function failed: none ran twice.
      assert.ok((runs.get(key) ?? 0) <= 1, `seed ${seed}, ${key} ran ${runs.get(key)} times`);
    }
    assert.equal(told.size, 4);
    doubts += clients.reduce((sum, { counts }) => sum + counts.answerLost + counts.late, 0);
    for (const engine of engines) await engine.close();
  }
  assert.ok(doubts > 10, `${doubts} answers were lost`);
});

/** How often the key's effect has happened, asked over a good connection. */
async function effectOf(store: MemoryStore, key: string): Promise<number> {
  await using engine = createEngine(createMemoryDriver(store));
  return (await engine.kv.get<number>(["effect", key]))?.value ?? 0;
}
