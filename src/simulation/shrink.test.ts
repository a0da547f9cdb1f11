import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../core/index.ts";
import { assertHolds, describeFailure, explore, SimulationFailedError } from "./explore.ts";
import type { Scenario } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";

/** Money moves in two commits. */
const transfer: Scenario = {
  name: "transfer",
  workload: {
    clients: 5,
    operations: 15,
    operation: async ({ engine }) => {
      await engine.kv.add(["a"], -1);
      await engine.kv.add(["b"], 1);
    },
  },
  eventually: {
    "no money is lost": async ({ engine }) => {
      const [a, b] = await engine.kv.getMany<number>([["a"], ["b"]]);
      return (a?.value ?? 0) + (b?.value ?? 0) === 0;
    },
  },
  budget: { heal: "1s" },
};

test("a failing run shrinks to few faults and operations, which fail in the same way when replayed", async () => {
  const { failures, seeds } = await explore(transfer, { seeds: 20 });
  const failed = failures[0];
  assert.ok(failed, `nothing found in ${seeds} seeds`);
  const { result, minimal } = await shrink(failed, { run: (options) => simulate({ ...transfer, ...options }) });
  assert.ok(minimal);
  assert.equal(result.struck.length, 1, describeFailure(result));
  assert.equal(result.size.clients, 1);
  assert.ok(result.size.operations < failed.size.operations);
  const replayed = await simulate({ ...transfer, seed: result.seed, reduction: result.reduction });
  assert.equal(replayed.traceHash, result.traceHash);
  assert.equal(replayed.failure?.subject, "no money is lost");
});

test("shrinking keeps to its bound of runs", async () => {
  const failed = (await explore(transfer, { seeds: 20 })).failures[0];
  assert.ok(failed);
  let runs = 0;
  const run = (options: Parameters<Parameters<typeof shrink>[1]["run"]>[0]) => {
    runs++;
    return simulate({ ...transfer, ...options });
  };
  const shrunk = await shrink(failed, { run, runs: 3 });
  assert.deepEqual([runs, shrunk.runs, shrunk.minimal], [3, 3, false]);
  assert.ok(shrunk.result.failure);
});

test("assertHolds throws what failed, the faults that it takes, and how to replay it", async () => {
  await assert.rejects(assertHolds(transfer, { seeds: 20 }), (error) => {
    assert.ok(error instanceof SimulationFailedError && isAshlarError(error, "SIMULATION_FAILED"));
    assert.match(error.message, /^transfer, seed \d+: "no money is lost" does not hold/);
    assert.match(error.message, /faults:\n {2}[\d.]+ ms {2}engine-/);
    assert.match(error.message, /replay: simulate\({ \.\.\.scenario, seed: \d+, reduction: {.*} }\)$/);
    assert.equal(error.result.ok, false);
    return true;
  });
});

test("exploring adds up what the runs were like, stops at a failure or goes on", async () => {
  const sound: Scenario = { ...transfer, eventually: {} };
  const results: number[] = [];
  const exploration = await explore(sound, { seeds: 5, from: 10, onResult: ({ seed }) => results.push(seed) });
  assert.deepEqual(results, [10, 11, 12, 13, 14]);
  assert.equal(exploration.seeds, 5);
  assert.ok(exploration.events > 500 && exploration.virtualMs > 5_000);
  assert.ok(Object.keys(exploration.struck).length > 3);
  assert.ok(Object.values(exploration.maybe).some(({ taken }) => taken > 0));
  const first = await explore(transfer, { seeds: 30 });
  const all = await explore(transfer, { seeds: 30, all: true });
  assert.equal(first.failures.length, 1);
  assert.ok(all.failures.length > 1);
  assert.equal(all.seeds, 30);
  await assert.rejects(explore(sound, { seeds: 0 }), { code: "INVALID_ARGUMENT" });
});
