import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { referencePolicies } from "../testing/reference-policies.ts";
import { FrequencySketch } from "./frequency-sketch.ts";
import { GhostTable } from "./ghost-table.ts";
import { hashKey } from "./key-hash.ts";
import { createLocalCache } from "./local-cache.ts";
import { type Eviction, policies } from "./policy.ts";

const evictions = Object.keys(policies) as Eviction[];

/** Small numbers are drawn more often: something has to be popular. */
const keys = fc.tuple(fc.nat(60), fc.nat(60)).map(([a, b]) => `k${Math.min(a, b)}`);
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: keys.map((key) => ({ kind: "read" as const, key })) },
    { weight: 2, arbitrary: keys.map((key) => ({ kind: "set" as const, key })) },
    { weight: 1, arbitrary: keys.map((key) => ({ kind: "delete" as const, key })) },
  ),
  { maxLength: 400, size: "max" },
);

for (const eviction of evictions) {
  test(`${eviction} keeps what the paper's own words keep`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), steps, (capacity, sequence) => {
        const cache = createLocalCache<string, string>({ maxEntries: capacity, eviction });
        const reference = referencePolicies[eviction](capacity);
        for (const { kind, key } of sequence) {
          assert.equal(cache.has(key), reference.has(key));
          if (kind === "delete") {
            assert.equal(cache.delete(key), reference.has(key));
            reference.remove(key);
          } else if (kind === "set" || cache.get(key) === undefined) {
            cache.set(key, key);
            if (reference.has(key)) reference.access(key);
            else reference.insert(key);
          } else reference.access(key);
          assert.deepEqual([...cache.keys()].sort(), reference.keys().sort());
        }
      }),
      { numRuns: 150 },
    );
  });
}

test("a scan that is read once does not drive out what is popular, but for LRU and FIFO", () => {
  const survivors = (eviction: Eviction): number => {
    const cache = createLocalCache<number, number>({ maxEntries: 100, eviction });
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 50; i++) if (cache.get(i) === undefined) cache.set(i, i);
    }
    for (let i = 1000; i < 3000; i++) if (cache.get(i) === undefined) cache.set(i, i);
    return Array.from({ length: 50 }, (_, i) => cache.has(i)).filter(Boolean).length;
  };
  assert.equal(survivors("lru"), 0);
  assert.equal(survivors("fifo"), 0);
  for (const eviction of ["s3-fifo", "w-tinylfu", "lfu"] as const) assert.ok(survivors(eviction) >= 49, eviction);
});

test("the sketch never counts too low before it ages, and halves when it does", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 600, size: "max" }), (values) => {
      const sketch = new FrequencySketch(64);
      const counts = new Map<number, number>();
      // 64 × 10 additions are the sample, so nothing ages here.
      for (const value of values) {
        sketch.add(hashKey(value));
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
      for (const [value, count] of counts) assert.ok(sketch.estimate(hashKey(value)) >= Math.min(15, count));
    }),
    { numRuns: 100 },
  );
  const sketch = new FrequencySketch(16);
  for (let i = 0; i < 8; i++) sketch.add(hashKey("old"));
  assert.equal(sketch.estimate(hashKey("old")), 8);
  for (let i = 0; i < 152; i++) sketch.add(hashKey(`other-${i}`));
  assert.ok(sketch.estimate(hashKey("old")) <= 5);
});

test("ghosts are the hashes added last, each taken once, also after the table has grown", () => {
  const steps = fc.array(fc.record({ add: fc.boolean(), value: fc.nat(40), grow: fc.nat(60) }), {
    maxLength: 300,
    size: "max",
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), steps, (count, taken) => {
      const table = new GhostTable();
      let slots = 200;
      let plain: number[] = [];
      for (const { add, value, grow } of taken) {
        if (grow === 0) table.grow(slots++);
        const hash = hashKey(value);
        if (add) {
          table.add(hash, count);
          plain.unshift(hash);
        } else {
          assert.equal(table.take(hash, count), plain.slice(0, count).includes(hash));
          // Its place in the order stays, as a hole.
          plain = plain.map((each) => (each === hash ? -1 : each));
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("keys that Map takes for the same have the same hash", () => {
  const object = {};
  assert.equal(hashKey(object), hashKey(object));
  assert.notEqual(hashKey({}), hashKey({}));
  assert.equal(hashKey(0), hashKey(-0));
  assert.equal(hashKey(Number.NaN), hashKey(Number.NaN));
  for (const key of [1.5, 2 ** 40, -1, 10n, true, null, undefined, Symbol("s"), () => 1, "text"]) {
    const hash = hashKey(key);
    assert.equal(hash, hashKey(key));
    assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32);
  }
});
