import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Operation } from "../history.ts";
import { models } from "../models/models.ts";
import { type LinearizabilityResult, linearizable } from "./linearizable.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";
import { isLinearizableByForce } from "./testing/brute-force.ts";
import { Dice } from "./testing/dice.ts";
import { generate, mutate } from "./testing/generate.ts";
import { testObjects } from "./testing/objects.ts";
import { entriesOf } from "./timeline.ts";

const histories = Number(process.env["ASHLAR_HISTORIES"] ?? 3_000);

/** Compares the search with brute force on one generated history after another; counts the verdicts. */
function compare(model: Model, object: keyof typeof testObjects): { ok: number; violated: number } {
  const counts = { ok: 0, violated: 0 };
  const checker = linearizable(model);
  for (let seed = 0; seed < histories; seed++) {
    const dice = new Dice(seed);
    const made = testObjects[object]?.();
    assert.ok(made);
    const size = { clients: 2 + dice.below(3), operations: 4 + dice.below(5) };
    const chances = { unknown: dice.pick([0, 0, 0.15, 0.4]), shuffled: dice.pick([0.3, 0.6, 1]) };
    let history = generate(made, dice, { ...size, ...chances });
    const isLegal = dice.chance(0.15);
    for (let mutations = isLegal ? 0 : 1 + dice.below(5); mutations > 0 && history.length > 1; mutations--)
      history = mutate(history, dice);
    const result = checker.check(history);
    const { verdict } = result;
    const expected = isLinearizableByForce(model, history) ? "ok" : "violated";
    if (isLegal) assert.equal(expected, "ok", `the generator made an illegal history of ${model.name}, seed ${seed}`);
    assert.equal(verdict, expected, `${model.name}, seed ${seed}: ${JSON.stringify(history)}`);
    if (verdict === "violated") isCounterexample(model, history, result);
    counts[expected]++;
  }
  return counts;
}

/** What it shows is part of the history, has no legal order either, and the longest order that it claims is legal. */
function isCounterexample(model: Model, history: readonly Operation[], result: LinearizabilityResult): void {
  const { operations, longest = [], stuck = [] } = result;
  const ids = new Set(history.map(({ id }) => id));
  assert.ok(operations.length > 0 && operations.every(({ id }) => ids.has(id)));
  assert.deepEqual(
    operations,
    operations.toSorted((a, b) => a.called - b.called),
  );
  assert.equal(isLinearizableByForce(model, operations), false, JSON.stringify({ history, operations }));
  const states = longest.reduce((state: unknown, each) => model.step(state, each), model.initial);
  assert.notEqual(states, undefined, JSON.stringify({ history, longest }));
  assert.equal(longest.length + stuck.length, operations.length);
  assert.ok(stuck.length > 0 && stuck.every(({ why }) => why !== "is possible, but leaves no way to go on"));
}

describe("linearizable", () => {
  for (const [name, model] of Object.entries(models)) {
    it(`agrees with brute force on ${histories} histories of ${name}`, (t) => {
      const counts = compare(model, name);
      t.diagnostic(JSON.stringify(counts));
      assert.ok(counts.ok > histories / 10 && counts.violated > histories / 10, JSON.stringify(counts));
    });
  }

  for (const [name, model] of Object.entries(models)) {
    it(`decides longer histories of ${name} as it would without foresight`, () => {
      const seen = new Set<string>();
      for (let seed = 0; seed < histories / 10; seed++) {
        const dice = new Dice(1_000_000 + seed);
        const made = testObjects[name]?.();
        assert.ok(made);
        const size = { clients: 3 + dice.below(4), operations: 12 + dice.below(12), unknown: dice.pick([0, 0.1]) };
        let history = generate(made, dice, { ...size, shuffled: dice.pick([0.6, 1]) });
        for (let mutations = dice.below(4); mutations > 0; mutations--) history = mutate(history, dice);
        const expected = verdictWithoutForesight(model, history);
        if (expected === "paused") continue;
        const { verdict } = linearizable(model).check(history);
        assert.equal(verdict, expected, `${name}, seed ${seed}: ${JSON.stringify(history)}`);
        seen.add(verdict);
      }
      assert.deepEqual([...seen].sort(), ["ok", "violated"]);
    });
  }
});

function verdictWithoutForesight(model: Model, history: readonly Operation[]): string {
  const parts = Map.groupBy(entriesOf(model, history), ({ operation }) => model.partition?.(operation));
  const budget = { steps: 300_000, memory: 1e9 };
  const outcomes = [...parts.values()].map((part) => new Search(model, part, budget, false).run(budget.steps));
  return outcomes.find((outcome) => outcome !== "ok") ?? "ok";
}
