import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SortedMap } from "./sorted-map.ts";

type Model = Map<string, number>;

function sorted(model: Model, start: string, end: string): [string, number][] {
  return [...model].filter(([key]) => key >= start && key < end).sort(([a], [b]) => (a < b ? -1 : 1));
}

function visited(map: SortedMap<number>, start: string, end: string, reverse: boolean): [string, number][] {
  const found: [string, number][] = [];
  map.visit(start, end, reverse, (key, value) => found.push([key, value]) > 0);
  return found;
}

test("agrees with a sorted array over random inserts, deletes and walks", () => {
  const key = fc.integer({ min: 0, max: 3000 }).map((n) => String(n).padStart(4, "0"));
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(fc.constant("set" as const), key) },
    { weight: 3, arbitrary: fc.tuple(fc.constant("delete" as const), key) },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 0, maxLength: 3000, size: "max" }), key, key, (steps, a, b) => {
      const map = new SortedMap<number>();
      const model: Model = new Map();
      steps.forEach(([what, key], i) => {
        if (what === "set") {
          map.set(key, i);
          model.set(key, i);
        } else {
          assert.equal(map.delete(key), model.delete(key));
        }
        assert.equal(map.get(key), model.get(key));
      });
      assert.equal(map.size, model.size);
      const [start, end] = a < b ? [a, b] : [b, a];
      assert.deepEqual(visited(map, start, end, false), sorted(model, start, end));
      assert.deepEqual(visited(map, start, end, true), sorted(model, start, end).reverse());
    }),
    { numRuns: 60 },
  );
});

test("a walk stops when the visitor has had enough", () => {
  const map = new SortedMap<number>();
  for (let i = 0; i < 2000; i++) map.set(String(i).padStart(4, "0"), i);
  const found: number[] = [];
  map.visit("0100", "1900", false, (_, value) => found.push(value) < 3);
  map.visit("0100", "1900", true, (_, value) => found.push(value) < 6);
  assert.deepEqual(found, [100, 101, 102, 1899, 1898, 1897]);
});
