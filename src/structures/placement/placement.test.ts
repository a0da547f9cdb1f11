import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { InvalidArgumentError } from "../../core/index.ts";
import {
  createBoundedLoadRing,
  createHashRing,
  createMaglevTable,
  createRendezvous,
  jumpHash,
  type Placement,
  type PlacementNode,
} from "../index.ts";

const keys = Array.from({ length: 20_000 }, (_, i) => `user:${i}`);
const names = (count: number) => Array.from({ length: count }, (_, i) => `node-${i}`);

interface Kind {
  readonly name: string;
  create(nodes?: Iterable<string | PlacementNode>, options?: { readonly seed?: number }): Placement;
  /** How far the most loaded of ten nodes may be above even, over 20,000 keys. */
  readonly unevenness: number;
  /** Whether no key moves but those of the node that came or went. */
  readonly minimal: boolean;
}

const kinds: readonly Kind[] = [
  { name: "hash ring", create: createHashRing, unevenness: 0.25, minimal: true },
  { name: "rendezvous", create: createRendezvous, unevenness: 0.08, minimal: true },
  { name: "Maglev table", create: createMaglevTable, unevenness: 0.08, minimal: false },
];

function loads(placement: Placement): Map<string, number> {
  const counts = new Map(placement.nodes.map(({ id }) => [id, 0]));
  for (const key of keys) {
    const id = placement.locate(key) as string;
    counts.set(id, (counts.get(id) as number) + 1);
  }
  return counts;
}

for (const kind of kinds) {
  describe(kind.name, () => {
    test("without nodes, keys belong nowhere", () => {
      const placement = kind.create();
      assert.equal(placement.locate("k"), undefined);
      assert.deepEqual(placement.replicas("k", 3), []);
      placement.add("only");
      assert.equal(placement.locate("k"), "only");
      assert.deepEqual([placement.remove("only"), placement.remove("only")], [true, false]);
      assert.equal(placement.locate("k"), undefined);
    });

    test("loads are even to within what is stated", () => {
      const even = keys.length / 10;
      for (const [id, load] of loads(kind.create(names(10))))
        assert.ok(Math.abs(load - even) <= even * kind.unevenness, `${id}: ${load} of ${even}`);
    });

    test("loads follow weights", () => {
      const placement = kind.create([
        { id: "small", weight: 0.5 },
        { id: "one", weight: 1 },
        { id: "two", weight: 2.5 },
      ]);
      const counts = loads(placement);
      for (const { id, weight } of placement.nodes) {
        const due = (keys.length * weight) / 4;
        assert.ok(Math.abs((counts.get(id) as number) - due) <= due * kind.unevenness, `${id}: ${counts.get(id)}`);
      }
    });

    test("the order in which nodes come and go does not matter", () => {
      fc.assert(
        fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 }), (ids) => {
          const small = { seed: 7 };
          const one = kind.create(ids, small);
          const other = kind.create(["gone", ...ids.toReversed()], small);
          other.remove("gone");
          for (const key of keys.slice(0, 50)) {
            assert.equal(one.locate(key), other.locate(key));
            assert.deepEqual(one.replicas(key, 3), other.replicas(key, 3));
          }
        }),
        { numRuns: kind.minimal ? 50 : 10 },
      );
    });

    test("a node that comes takes its part, and one that goes gives it back", () => {
      const placement = kind.create(names(10));
      const before = keys.map((key) => placement.locate(key));
      placement.add("new");
      const during = keys.map((key) => placement.locate(key));
      placement.remove("new");
      assert.deepEqual(
        keys.map((key) => placement.locate(key)),
        before,
      );
      const moved = during.filter((id, i) => id !== before[i]);
      const strays = moved.filter((id) => id !== "new").length;
      if (kind.minimal) assert.equal(strays, 0);
      else assert.ok(strays < keys.length * 0.05, `${strays} moved between the others`);
      assert.ok(Math.abs(moved.length - keys.length / 11) < keys.length * 0.05, `${moved.length} moved`);
    });

    test("a greater weight moves keys to that node, and to no other", () => {
      const placement = kind.create(names(10));
      const before = keys.map((key) => placement.locate(key));
      placement.add({ id: "node-3", weight: 2 });
      const moved = keys.map((key) => placement.locate(key)).filter((id, i) => id !== before[i]);
      const strays = moved.filter((id) => id !== "node-3").length;
      assert.ok(strays <= (kind.minimal ? 0 : keys.length * 0.05), `${strays} moved between the others`);
      assert.ok(moved.length - strays > keys.length * 0.05);
    });

    test("replicas are different nodes, the owner first; what remains keeps its order when one goes", () => {
      const placement = kind.create(names(7));
      for (const key of keys.slice(0, 200)) {
        const all = placement.replicas(key, 100);
        assert.deepEqual([all.length, new Set(all).size, all[0]], [7, 7, placement.locate(key)]);
        assert.deepEqual(placement.replicas(key, 3), all.slice(0, 3));
        assert.deepEqual(placement.replicas(key, 0), []);
      }
      if (!kind.minimal) return;
      const before = keys.slice(0, 200).map((key) => placement.replicas(key, 7));
      placement.remove("node-2");
      for (const [i, key] of keys.slice(0, 200).entries())
        assert.deepEqual(
          placement.replicas(key, 7),
          before[i]?.filter((id) => id !== "node-2"),
        );
    });

    test("texts and their bytes belong to the same node, and seeds place independently", () => {
      const placement = kind.create(names(10));
      const other = kind.create(names(10), { seed: 1 });
      let same = 0;
      for (const key of ["", "a", "ключ", "🙂", ...keys.slice(0, 1000)]) {
        assert.equal(placement.locate(key), placement.locate(new TextEncoder().encode(key)));
        if (placement.locate(key) === other.locate(key)) same++;
      }
      assert.ok(same > 50 && same < 200, `${same} of 1,000 in the same place by chance`);
    });

    test("bad nodes and options are refused, and nothing changes", () => {
      const placement = kind.create(["a"]);
      const refused = (fn: () => unknown, named: RegExp) =>
        assert.throws(fn, (error) => error instanceof InvalidArgumentError && named.test(error.message));
      refused(() => placement.add(""), /node\.id/);
      refused(() => placement.add({ id: "b", weight: 0 }), /node\.weight/);
      refused(() => placement.add({ id: "b", weight: Number.NaN }), /node\.weight/);
      refused(() => placement.add({ id: "b", weight: 1001 }), /node\.weight/);
      refused(() => placement.replicas("k", -1), /count/);
      refused(() => kind.create([], { seed: -1 }), /seed/);
      assert.deepEqual(placement.nodes, [{ id: "a", weight: 1 }]);
    });
  });
}

test("a ring's number of points is bounded", () => {
  assert.throws(() => createHashRing([], { virtualNodes: 0 }), /virtualNodes/);
  const ring = createHashRing([{ id: "a", weight: 1000 }], { virtualNodes: 10_000 });
  assert.throws(() => ring.add({ id: "b", weight: 1000 }), /node\.weight/);
  assert.deepEqual(ring.nodes.length, 1);
});

test("a Maglev table has prime size and a slot for every node", () => {
  assert.throws(() => createMaglevTable([], { tableSize: 65_536 }), /tableSize/);
  assert.throws(() => createMaglevTable(names(12), { tableSize: 11 }), /nodes/);
  const table = createMaglevTable(names(11), { tableSize: 11 });
  assert.equal(new Set(keys.map((key) => table.locate(key))).size, 11);
});

/** The paper's program, in arithmetic of 64 bits. */
function jumpByTheBook(start: bigint, buckets: number): number {
  let key = BigInt.asUintN(64, start);
  let b = -1;
  let j = 0;
  while (j < buckets) {
    b = j;
    key = BigInt.asUintN(64, key * 2862933555777941757n + 1n);
    j = Math.floor((b + 1) * (2 ** 31 / Number((key >> 33n) + 1n)));
  }
  return b;
}

describe("jump hash", () => {
  test("gives the published answers", () => {
    assert.deepEqual(
      [jumpHash(1n, 1), jumpHash(42n, 57), jumpHash(0xdead10ccn, 1), jumpHash(0xdead10ccn, 666), jumpHash(256n, 1024)],
      [0, 43, 0, 361, 520],
    );
  });

  test("agrees with the paper's program", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 1, max: 0x7fffffff }),
        (key, buckets) => assert.equal(jumpHash(key, buckets), jumpByTheBook(key, buckets)),
      ),
      { numRuns: 2000 },
    );
  });

  test("one bucket more takes its part, and nothing moves between the others", () => {
    let moved = 0;
    for (const key of keys) {
      const [before, after] = [jumpHash(key, 10), jumpHash(key, 11)];
      if (before === after) continue;
      assert.equal(after, 10);
      moved++;
    }
    assert.ok(Math.abs(moved - keys.length / 11) < keys.length * 0.01, `${moved}`);
  });

  test("buckets that are not a positive number are refused", () => {
    for (const buckets of [0, -1, 1.5, Number.NaN, 2 ** 31]) assert.throws(() => jumpHash("k", buckets), /buckets/);
  });
});

describe("bounded-load ring", () => {
  test("no node has more than its share and epsilon, and hot keys spill along the ring", () => {
    const node = fc.record({ id: fc.constantFrom(..."abcdef"), weight: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(
        fc.uniqueArray(node, { selector: ({ id }) => id, minLength: 1 }),
        fc.array(fc.constantFrom("hot", "warm", "x", "y"), { maxLength: 100 }),
        (nodes, work) => {
          const ring = createBoundedLoadRing(nodes, { epsilon: 0.1 });
          const sum = nodes.reduce((total, { weight }) => total + weight, 0);
          for (const [i, key] of work.entries()) {
            assert.ok(ring.acquire(key));
            assert.equal(ring.totalLoad, i + 1);
          }
          // The bound of a node is that of the moment of its last unit, and grows with the total.
          for (const { id, weight } of nodes)
            assert.ok(ring.load(id) <= Math.ceil((1.1 * Math.max(1, work.length) * weight) / sum));
          assert.equal(
            nodes.reduce((total, { id }) => total + ring.load(id), 0),
            work.length,
          );
        },
      ),
    );
  });

  test("a key stays where a plain ring has it while there is room", () => {
    const plain = createHashRing(names(5));
    const bounded = createBoundedLoadRing(names(5));
    for (const key of keys.slice(0, 100)) {
      using work = bounded.acquire(key);
      assert.equal(work?.node, plain.locate(key));
    }
    assert.equal(bounded.totalLoad, 0);
  });

  test("room is given back once, and not to a namesake of a node that went", () => {
    const ring = createBoundedLoadRing(["a"]);
    const [first, second] = [ring.acquire("k"), ring.acquire("k")];
    first?.release();
    first?.release();
    assert.deepEqual([ring.load("a"), ring.totalLoad], [1, 1]);
    assert.deepEqual([ring.remove("a"), ring.remove("a"), ring.totalLoad], [true, false, 0]);
    assert.equal(ring.acquire("k"), undefined);
    ring.add("a");
    ring.acquire("k");
    second?.release();
    assert.deepEqual([ring.load("a"), ring.totalLoad], [1, 1]);
  });

  test("epsilon outside its range is refused", () => {
    for (const epsilon of [0, -1, Number.NaN, 101])
      assert.throws(() => createBoundedLoadRing([], { epsilon }), /epsilon/);
  });
});
