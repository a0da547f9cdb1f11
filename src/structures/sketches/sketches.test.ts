import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { hash32, isAshlarError } from "../../core/index.ts";
import {
  createBlockedBloomFilter,
  createBloomFilter,
  createCountingBloomFilter,
  createCountMin,
  createCuckooFilter,
  createHyperLogLog,
  createTDigest,
  type FilterOptions,
  readBlockedBloomFilter,
  readBloomFilter,
  readCountingBloomFilter,
  readCountMin,
  readCuckooFilter,
  readHyperLogLog,
  readTDigest,
} from "../index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** Numbers between 0 and 1 that repeat themselves. */
const draws = (seed: number) => (i: number) => hash32(String(i), seed) / 2 ** 32;

interface Filter {
  add(key: string | Uint8Array): unknown;
  has(key: string | Uint8Array): boolean;
  merge(other: never): unknown;
  toBytes(): Uint8Array;
}

interface FilterKind {
  readonly name: string;
  create(options: FilterOptions): Filter;
  read(bytes: Uint8Array): Filter;
  /** Length and CRC of the bytes of a filter for ten keys with the keys 0 to 9: the format is stable. */
  readonly golden: string;
}

const filters: readonly FilterKind[] = [
  { name: "Bloom filter", create: createBloomFilter, read: readBloomFilter, golden: "43 a8d52f35" },
  {
    name: "blocked Bloom filter",
    create: createBlockedBloomFilter,
    read: readBlockedBloomFilter,
    golden: "55 c7fd5a5b",
  },
  {
    name: "counting Bloom filter",
    create: createCountingBloomFilter,
    read: readCountingBloomFilter,
    golden: "127 2cf9ddd6",
  },
  { name: "cuckoo filter", create: createCuckooFilter, read: readCuckooFilter, golden: "79 0887a736" },
];

for (const kind of filters) {
  describe(kind.name, () => {
    test("what was added is there, texts and their bytes alike", () => {
      fc.assert(
        fc.property(fc.uniqueArray(fc.string({ unit: "binary" }), { maxLength: 50 }), (keys) => {
          const filter = kind.create({ capacity: 100 });
          for (const key of keys) filter.add(key);
          for (const key of keys) assert.ok(filter.has(key) && filter.has(new TextEncoder().encode(key)));
        }),
      );
    });

    test("false answers are as rare as was asked for, when it has what it was made for", () => {
      for (const falsePositiveRate of [0.1, 0.01, 0.001]) {
        const filter = kind.create({ capacity: 20_000, falsePositiveRate });
        for (let i = 0; i < 20_000; i++) filter.add(`in ${i}`);
        let wrong = 0;
        const asked = 100_000;
        for (let i = 0; i < asked; i++) if (filter.has(`out ${i}`)) wrong++;
        // Five standard deviations of what chance alone does.
        const bound = falsePositiveRate * asked + 5 * Math.sqrt(falsePositiveRate * asked);
        assert.ok(wrong <= bound, `${wrong} of ${asked} at ${falsePositiveRate}`);
      }
    });

    test("merging is the union", () => {
      const one = kind.create({ capacity: 1000 });
      const other = kind.create({ capacity: 1000 });
      for (let i = 0; i < 400; i++) (i % 2 ? one : other).add(`k${i}`);
      one.merge(other as never);
      for (let i = 0; i < 400; i++) assert.ok(one.has(`k${i}`));
    });

    test("different parameters are not merged, and the error says which", () => {
      const one = kind.create({ capacity: 1000 });
      assert.throws(() => one.merge(kind.create({ capacity: 1000, seed: 1 }) as never), /seed/);
      assert.throws(() => one.merge(kind.create({ capacity: 100_000 }) as never), /other/);
    });

    test("what is read back is the same", () => {
      const filter = kind.create({ capacity: 500, falsePositiveRate: 0.001, seed: 7 });
      for (let i = 0; i < 500; i++) filter.add(`k${i}`);
      const back = kind.read(filter.toBytes());
      for (let i = 0; i < 2000; i++) assert.equal(back.has(`k${i}`), filter.has(`k${i}`));
      assert.equal(hex(back.toBytes()), hex(filter.toBytes()));
    });

    test("the format is stable", () => {
      const filter = kind.create({ capacity: 10 });
      for (let i = 0; i < 10; i++) filter.add(String(i));
      const bytes = filter.toBytes();
      assert.equal(`${bytes.length} ${hex(bytes.subarray(-4))}`, kind.golden);
    });

    test("bad options are refused", () => {
      for (const capacity of [0, 1.5, 1e9]) assert.throws(() => kind.create({ capacity }), /capacity/);
      for (const falsePositiveRate of [0, 0.6, Number.NaN])
        assert.throws(() => kind.create({ capacity: 1, falsePositiveRate }), /falsePositiveRate/);
      assert.throws(() => kind.create({ capacity: 1, seed: -1 }), /seed/);
    });
  });
}

describe("reading", () => {
  const bytes = createBloomFilter({ capacity: 100 }).toBytes();

  test("bytes that were changed or cut off are found out", () => {
    for (let i = 4; i < bytes.length; i++) {
      const changed = bytes.slice();
      changed[i] = (changed[i] as number) ^ 1;
      assert.throws(
        () => readBloomFilter(changed),
        (error) => code("CORRUPTION")(error) || code("INVALID_ARGUMENT")(error),
      );
    }
    for (const length of [15, 20, bytes.length - 1]) assert.throws(() => readBloomFilter(bytes.subarray(0, length)));
  });

  test("what is no sketch, or one of another kind or a later format, is refused by name", () => {
    assert.throws(() => readBloomFilter(new Uint8Array(100)), code("INVALID_ARGUMENT"));
    assert.throws(() => readBloomFilter("text" as never), code("INVALID_ARGUMENT"));
    assert.throws(() => readCuckooFilter(bytes), /a sketch of bloom/);
    const later = bytes.slice();
    later[4] = 2;
    assert.throws(() => readBloomFilter(later), /later release/);
  });
});

test("the number of keys in a Bloom filter is estimated", () => {
  for (const create of [createBloomFilter, createBlockedBloomFilter]) {
    const filter = create({ capacity: 10_000 });
    for (let i = 0; i < 8000; i++) filter.add(`k${i}`);
    assert.ok(Math.abs(filter.estimatedCount - 8000) < 400, `${filter.estimatedCount}`);
  }
});

describe("removal", () => {
  test("counting Bloom: what was removed as often as it was added is gone, and nothing else is", () => {
    const key = fc.constantFrom("a", "b", "c", "d", "e");
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 60 }), (steps) => {
        const filter = createCountingBloomFilter({ capacity: 1000, falsePositiveRate: 0.0001 });
        const counts = new Map<string, number>();
        for (const [adds, each] of steps) {
          const count = counts.get(each) ?? 0;
          if (adds) filter.add(each);
          else assert.equal(filter.remove(each), count > 0);
          counts.set(each, Math.max(0, count + (adds ? 1 : -1)));
          for (const [known, times] of counts) assert.equal(filter.has(known), times > 0);
        }
      }),
    );
  });

  test("counting Bloom: a counter that is full stays so", () => {
    const filter = createCountingBloomFilter({ capacity: 10 });
    for (let i = 0; i < 300; i++) filter.add("often");
    for (let i = 0; i < 300; i++) filter.remove("often");
    assert.ok(filter.has("often"));
  });

  test("cuckoo: removes, refuses when full without losing anything, and has room again afterwards", () => {
    const filter = createCuckooFilter({ capacity: 1000, falsePositiveRate: 0.0001 });
    const added: string[] = [];
    for (let i = 0; filter.add(`k${i}`); i++) added.push(`k${i}`);
    assert.ok(added.length >= 1000, `${added.length} of 1,000`);
    assert.equal(filter.size, added.length);
    for (const key of added) assert.ok(filter.has(key));
    assert.equal(filter.add("more"), false);
    const back = readCuckooFilter(filter.toBytes());
    for (const key of added) assert.ok(back.has(key));
    for (const key of added.slice(0, 500)) assert.ok(filter.remove(key));
    for (const key of added.slice(500)) assert.ok(filter.has(key));
    assert.equal(filter.size, added.length - 500);
    assert.ok(filter.add("more") && filter.has("more"));
    assert.equal(filter.remove("never"), false);
  });

  test("cuckoo: a merge for which there is no room changes nothing", () => {
    const one = createCuckooFilter({ capacity: 100 });
    const other = createCuckooFilter({ capacity: 100 });
    for (let i = 0; i < 90; i++) one.add(`a${i}`);
    for (let i = 0; i < 90; i++) other.add(`b${i}`);
    const before = hex(one.toBytes());
    assert.equal(one.merge(other), false);
    assert.equal(hex(one.toBytes()), before);
  });
});

describe("HyperLogLog", () => {
  test("counts within a few standard errors, from nothing to many", () => {
    for (const precision of [10, 14]) {
      const sketch = createHyperLogLog({ precision });
      assert.equal(sketch.count(), 0);
      let added = 0;
      for (const count of [1, 10, 100, 1000, 20_000, 300_000]) {
        for (; added < count; added++) sketch.add(`user ${added}`);
        const error = Math.abs(sketch.count() - count) / count;
        assert.ok(error <= 4 * sketch.standardError, `precision ${precision}, ${count}: ${sketch.count()}`);
      }
    }
  });

  test("repetitions do not count, and merging is the union, as often as one likes", () => {
    const one = createHyperLogLog();
    const other = createHyperLogLog();
    for (let i = 0; i < 30_000; i++) {
      one.add(`u${i % 10_000}`);
      other.add(`u${5000 + (i % 10_000)}`);
    }
    const union = createHyperLogLog();
    for (let i = 0; i < 15_000; i++) union.add(`u${i}`);
    one.merge(other);
    one.merge(other);
    assert.equal(one.count(), union.count());
    assert.equal(hex(readHyperLogLog(one.toBytes()).toBytes()), hex(union.toBytes()));
  });

  test("bad options and sketches are refused", () => {
    for (const precision of [3, 19, 4.5]) assert.throws(() => createHyperLogLog({ precision }), /precision/);
    assert.throws(() => createHyperLogLog().merge(createHyperLogLog({ precision: 10 })), /precision/);
  });
});

describe("count-min", () => {
  for (const conservative of [false, true]) {
    test(`never below the truth, and seldom above the bound${conservative ? ", conservatively" : ""}`, () => {
      const sketch = createCountMin({ epsilon: 0.001, delta: 0.01, conservative });
      const truth = new Map<string, number>();
      const draw = draws(3);
      for (let i = 0; i < 50_000; i++) {
        // Some keys very often, most of them rarely.
        const key = `k${Math.floor(1 / (draw(i) + 1e-4))}`;
        sketch.add(key);
        truth.set(key, (truth.get(key) ?? 0) + 1);
      }
      assert.equal(sketch.total, 50_000);
      let beyond = 0;
      for (const [key, count] of truth) {
        const estimate = sketch.estimate(key);
        assert.ok(estimate >= count);
        if (estimate > count + 0.001 * sketch.total) beyond++;
      }
      assert.ok(beyond <= truth.size * 0.01 + 3, `${beyond} of ${truth.size}`);
    });
  }

  test("merged it has the sums; read back it is the same", () => {
    const one = createCountMin();
    const other = createCountMin();
    one.add("a", 3);
    other.add("a", 4);
    other.add("b");
    one.merge(other);
    assert.deepEqual([one.estimate("a"), one.estimate("b"), one.total], [7, 1, 8]);
    const back = readCountMin(one.toBytes());
    assert.deepEqual([back.estimate("a"), back.total], [7, 8]);
    assert.throws(() => one.merge(createCountMin({ epsilon: 0.1 })), /width/);
    for (const count of [-1, 1.5, Number.NaN]) assert.throws(() => one.add("a", count), /count/);
    assert.throws(() => createCountMin({ epsilon: 0 }), /epsilon/);
    assert.throws(() => createCountMin({ delta: 1 }), /delta/);
    assert.throws(() => createCountMin({ epsilon: 1e-7, delta: 1e-6 }), /epsilon/);
  });
});

describe("t-digest", () => {
  const distributions: Record<string, (u: number) => number> = {
    uniform: (u) => u,
    exponential: (u) => -Math.log(1 - u),
    "heavy tail": (u) => (1 - u) ** -2,
    steps: (u) => Math.floor(u * 5),
  };
  for (const [name, shape] of Object.entries(distributions)) {
    test(`quantiles are off by no more than the stated rank: ${name}`, () => {
      const n = 50_000;
      const draw = draws(11);
      const values = Array.from({ length: n }, (_, i) => shape(draw(i)));
      const digest = createTDigest();
      for (const value of values) digest.add(value);
      values.sort((a, b) => a - b);
      assert.deepEqual([digest.count, digest.min, digest.max], [n, values[0], values.at(-1)]);
      for (const q of [0, 0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1]) {
        const slack = ((2 * Math.PI) / 200) * Math.sqrt(q * (1 - q)) + 2 / n;
        const at = (part: number) => values[Math.min(n - 1, Math.max(0, Math.floor(part * n)))] as number;
        const value = digest.quantile(q);
        assert.ok(value >= at(q - slack) - 1e-9 && value <= at(q + slack) + 1e-9, `${q}: ${value}`);
      }
      for (const q of [0.01, 0.5, 0.99])
        if (name !== "steps") assert.ok(Math.abs(digest.cdf(digest.quantile(q)) - q) < 0.005, `${q}`);
    });
  }

  test("merged digests say what one over all would, within the bound; memory stays bounded", () => {
    const parts = Array.from({ length: 10 }, () => createTDigest());
    const draw = draws(5);
    const values = Array.from({ length: 40_000 }, (_, i) => -Math.log(1 - draw(i)));
    for (const [i, value] of values.entries()) parts[i % 10]?.add(value);
    const all = createTDigest();
    for (const part of parts) all.merge(part);
    values.sort((a, b) => a - b);
    assert.equal(all.count, 40_000);
    for (const q of [0.01, 0.5, 0.99, 0.999]) {
      const slack = 2 * ((2 * Math.PI) / 200) * Math.sqrt(q * (1 - q)) + 2 / 40_000;
      const value = all.quantile(q);
      assert.ok(value >= (values[Math.floor(Math.max(0, q - slack) * 40_000)] as number), `${q}`);
      assert.ok(value <= (values[Math.min(39_999, Math.floor((q + slack) * 40_000))] as number), `${q}`);
    }
    const bytes = all.toBytes();
    assert.ok(bytes.length < 16 * 210 + 100, `${bytes.length}`);
    const back = readTDigest(bytes);
    assert.equal(back.quantile(0.5), all.quantile(0.5));
    assert.deepEqual([back.min, back.max, back.count], [all.min, all.max, all.count]);
  });

  test("few values are exact at the ends; nothing is NaN; bad values are refused", () => {
    const digest = createTDigest();
    assert.ok([digest.quantile(0.5), digest.cdf(1), digest.min].every(Number.isNaN));
    assert.equal(readTDigest(digest.toBytes()).count, 0);
    digest.add(5);
    assert.deepEqual([digest.quantile(0), digest.quantile(0.5), digest.quantile(1)], [5, 5, 5]);
    digest.add(1, 3);
    assert.deepEqual([digest.count, digest.min, digest.max, digest.cdf(0), digest.cdf(5)], [4, 1, 5, 0, 1]);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => digest.add(value), /value/);
    assert.throws(() => digest.add(1, 0), /weight/);
    assert.throws(() => digest.quantile(1.1), /q/);
    assert.throws(() => createTDigest({ compression: 1 }), /compression/);
  });
});

test("the formats of HyperLogLog, count-min and t-digest are stable", () => {
  const hyperLogLog = createHyperLogLog({ precision: 4 });
  const countMin = createCountMin({ epsilon: 0.5, delta: 0.5 });
  const digest = createTDigest({ compression: 20 });
  for (let i = 0; i < 10; i++) {
    hyperLogLog.add(String(i));
    countMin.add(String(i), i);
    digest.add(i);
  }
  const golden = [hyperLogLog, countMin, digest].map((sketch) => {
    const bytes = sketch.toBytes();
    return `${bytes.length} ${hex(bytes.subarray(-4))}`;
  });
  assert.deepEqual(golden, ["39 679f3ebe", "95 9f18dfe7", "199 122d827c"]);
});

test("t-digest: what it has written, it reads, whatever the numbers", () => {
  const number = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.array(number, { maxLength: 300 }), (values) => {
      const digest = createTDigest({ compression: 20 });
      for (const value of values) digest.add(value);
      const back = readTDigest(digest.toBytes());
      for (const q of [0, 0.3, 0.9, 1]) assert.equal(back.quantile(q), digest.quantile(q));
    }),
  );
});

test("cuckoo: one key, added again and again, leaves room for the others", () => {
  const filter = createCuckooFilter({ capacity: 1000 });
  let added = 0;
  while (filter.add("again")) added++;
  assert.equal(added, 8);
  for (let i = 0; i < 900; i++) assert.ok(filter.add(`k${i}`));
});

test("t-digest: the largest numbers do not overflow", () => {
  const digest = createTDigest();
  for (let i = 0; i < 1000; i++) digest.add(i % 2 ? 1.7e308 : -1.7e308);
  const middle = digest.quantile(0.5);
  assert.ok(Number.isFinite(middle) && middle >= -1.7e308 && middle <= 1.7e308);
  assert.equal(readTDigest(digest.toBytes()).count, 1000);
});

test("keys of other types and options that are spelt wrong are refused; an empty filter counts 0", () => {
  const filter = createBloomFilter({ capacity: 10 });
  assert.throws(() => filter.add(42 as never), /key/);
  assert.equal(filter.estimatedCount, 0);
  assert.throws(() => createBloomFilter({ capacity: 10, falsePositveRate: 0.1 } as FilterOptions), /falsePositveRate/);
  assert.throws(() => createHyperLogLog({ percision: 4 } as object), /percision/);
  assert.throws(() => createCountMin({ epsilom: 0.1 } as object), /epsilom/);
  assert.throws(() => createTDigest({ compresion: 100 } as object), /compresion/);
});
