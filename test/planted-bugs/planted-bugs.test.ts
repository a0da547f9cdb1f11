import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "../../src/simulation/index.ts";
import { catalogue } from "./catalogue.ts";
import { detect } from "./detection.ts";

for (const { name, planted, within } of catalogue) {
  test(`${name}: found within ${within} seeds`, async () => {
    const found = await detect(planted, 0, within);
    assert.ok(found, `not found in ${within} seeds`);
    const { kind } = found.failure;
    assert.ok(
      ["invariant", "check", "eventually", "stuck"].includes(kind),
      `seed ${found.seed}: ${found.failure.message}`,
    );
  });
}

const systems = new Map(catalogue.map(({ name, correct }) => [correct, correct.name ?? name]));

for (const [correct, name] of systems) {
  test(`${name}: no false alarm in 20 seeds`, async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { failure, undecided } = await simulate({ ...correct, seed });
      assert.equal(failure, undefined, `seed ${seed}: ${failure?.message}`);
      assert.deepEqual(undecided, [], `seed ${seed}`);
    }
  });

  test(`${name}: a seed repeats itself`, async () => {
    const first = await simulate({ ...correct, seed: 7 });
    const second = await simulate({ ...correct, seed: 7 });
    assert.equal(second.traceHash, first.traceHash);
    assert.deepEqual(second.history, first.history);
  });
}

test("a system and its bug are checked for the same properties", () => {
  for (const { name, correct, planted } of catalogue) {
    const properties = ({ invariants = {}, eventually = {}, checks = [] }: typeof correct): string[] => [
      ...Object.keys(invariants),
      ...Object.keys(eventually),
      ...checks.map((check) => check.name),
    ];
    assert.deepEqual(properties(planted), properties(correct), name);
    assert.ok(properties(correct).length > 0, name);
    assert.deepEqual(planted.faults, correct.faults, name);
  }
});
