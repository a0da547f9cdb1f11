import assert from "node:assert/strict";
import { test } from "node:test";
import { createDice, hashText } from "./dice.ts";

const draws = (seed: number, name: string, count: number) => {
  const dice = createDice(seed, name);
  return Array.from({ length: count }, () => dice.next());
};

test("equal seeds and names give equal draws, others give others", () => {
  assert.deepEqual(draws(7, "a", 50), draws(7, "a", 50));
  for (const [seed, name] of [
    [8, "a"],
    [7, "b"],
    [7 + 2 ** 32, "a"],
  ] as const) {
    assert.notDeepEqual(draws(7, "a", 3), draws(seed, name, 3), `${seed} ${name}`);
  }
});

test("draws are spread evenly, also over neighbouring seeds and names", () => {
  const samples = [
    draws(1, "one", 20_000),
    Array.from({ length: 20_000 }, (_, seed) => createDice(seed, "first").next()),
    Array.from({ length: 20_000 }, (_, i) => createDice(5, `name ${i}`).next()),
  ];
  for (const sample of samples) {
    const counts = new Array(20).fill(0);
    for (const value of sample) {
      assert.ok(value >= 0 && value < 1);
      counts[Math.floor(value * 20)]++;
    }
    // Chi-squared with 19 degrees of freedom: 43.8 is passed once in a thousand.
    const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    assert.ok(chi < 43.8, `chi² ${chi}`);
  }
});

test("the distributions have their means and bounds", () => {
  const dice = createDice(3, "distributions");
  const mean = (draw: () => number) => Array.from({ length: 20_000 }, draw).reduce((a, b) => a + b) / 20_000;
  assert.ok(Math.abs(mean(() => dice.exponential(10)) - 10) < 0.4);
  assert.ok(Math.abs(mean(() => dice.between(5, 7)) - 6) < 0.05);
  assert.ok(Math.abs(mean(() => Number(dice.hits(0.3))) - 0.3) < 0.02);
  assert.equal(
    mean(() => Number(dice.hits(0))),
    0,
  );
  const faces = new Set(Array.from({ length: 200 }, () => dice.below(6)));
  assert.deepEqual([...faces].sort(), [0, 1, 2, 3, 4, 5]);
});

test("texts that differ in one character have hashes that differ in about half of their bits", () => {
  const differing = Array.from({ length: 500 }, (_, i) => hashText(`fault ${i}`) ^ hashText(`fault ${i + 1}`));
  const bits = differing.map((word) => (word >>> 0).toString(2).replaceAll("0", "").length);
  const mean = bits.reduce((a, b) => a + b) / bits.length;
  assert.ok(mean > 15 && mean < 17, String(mean));
});
