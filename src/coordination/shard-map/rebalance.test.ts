import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Owner, rebalance } from "./rebalance.ts";

const owners = fc
  .uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"), { minLength: 1, maxLength: 6 })
  .chain((ids) =>
    fc.tuple(...ids.map((id) => fc.record({ id: fc.constant(id), weight: fc.integer({ min: 0, max: 4 }) }))),
  );
/** Among the present owners are some that have left ("x"), and shards that are nobody's. */
const present = (maxLength: number) =>
  fc.array(fc.option(fc.constantFrom("a", "b", "c", "d", "e", "f", "x"), { nil: undefined }), {
    minLength: 1,
    maxLength,
  });

const counts = (of: readonly (string | undefined)[]): Map<string | undefined, number> => {
  const counted = new Map<string | undefined, number>();
  for (const id of of) counted.set(id, (counted.get(id) ?? 0) + 1);
  return counted;
};
const moves = (from: readonly unknown[], to: readonly unknown[]): number => from.filter((id, i) => id !== to[i]).length;

/** Whether each owner has its share, rounded down or up. */
function isEven(of: readonly (string | undefined)[], among: readonly Owner[]): boolean {
  const sum = among.reduce((total, { weight }) => total + weight, 0);
  const load = counts(of);
  if (of.some((id) => !among.some((owner) => owner.id === id))) return false;
  return among.every(({ id, weight }) => Math.abs((load.get(id) ?? 0) - (of.length * weight) / sum) < 1);
}

/** The fewest moves to any even distribution, by trying all distributions. */
function dumbOptimum(current: readonly (string | undefined)[], among: readonly Owner[]): number {
  let best = Number.POSITIVE_INFINITY;
  const tried: string[] = [];
  const tryFrom = (shard: number): void => {
    if (shard === current.length) {
      if (isEven(tried, among)) best = Math.min(best, moves(current, tried));
      return;
    }
    for (const { id } of among) {
      tried[shard] = id;
      tryFrom(shard + 1);
    }
  };
  tryFrom(0);
  return best;
}

test("shares are even by weight, and nobody could get there with fewer moves", () => {
  fc.assert(
    fc.property(
      present(6),
      fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
      (current, ids, weights) => {
        const among = ids.map((id) => ({ id, weight: weights.next().value as number }));
        const result = rebalance(current, among);
        assert.ok(isEven(result, among));
        assert.equal(moves(current, result), dumbOptimum(current, among));
      },
    ),
    { numRuns: 300 },
  );
});

test("many shards: even by weight, owners of weight 0 have none, and what is even moves no more", () => {
  fc.assert(
    fc.property(present(200), owners, (current, among) => {
      const result = rebalance(current, among);
      if (among.every(({ weight }) => weight === 0)) {
        assert.ok(result.every((id) => id === undefined));
        return;
      }
      assert.ok(isEven(result, among));
      for (const { id, weight } of among) if (weight === 0) assert.ok(!result.includes(id));
      assert.deepEqual(rebalance(result, among), result);
      assert.deepEqual(rebalance(current, among.toReversed()), result, "the order of the owners does not matter");
    }),
  );
});

test("who comes takes its share and no more moves; who goes leaves the others what they have", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 9 }), (shards, n) => {
      const ids = Array.from({ length: n + 1 }, (_, i) => ({ id: `w${i}`, weight: 1 }));
      const before = rebalance(new Array<undefined>(shards).fill(undefined), ids.slice(1));
      const joined = rebalance(before, ids);
      assert.equal(moves(before, joined), Math.floor(shards / (n + 1)));
      assert.equal(moves(before, joined), counts(joined).get("w0") ?? 0);
      const left = rebalance(joined, ids.slice(1));
      assert.equal(moves(joined, left), counts(joined).get("w0") ?? 0);
    }),
  );
});
