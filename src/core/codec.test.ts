import assert from "node:assert/strict";
import { describe, it } from "node:test";
import vm from "node:vm";
import fc from "fast-check";
import { unpack } from "msgpackr";
import { toHex } from "./bytes.ts";
import { decodeInteger, decodeValue, encodeInteger, encodeValue, INTEGER_TAG } from "./codec.ts";
import { InvalidArgumentError } from "./errors.ts";
import { cloneable } from "./testing/arbitraries.ts";

function roundTrip(value: unknown): unknown {
  return decodeValue(encodeValue(value));
}

describe("encoded values", () => {
  it("decode to what structuredClone gives", () => {
    fc.assert(
      fc.property(cloneable, (value) => {
        assert.deepEqual(roundTrip(value), structuredClone(value));
      }),
      { numRuns: 1500 },
    );
  });

  it("keep cycles and the identity of whatever is repeated", () => {
    const link = fc.tuple(fc.nat(24), fc.nat(24), fc.nat(4));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 25 }), fc.array(link, { maxLength: 60 }), (count, links) => {
        const nodes = Array.from({ length: count }, (_, i) => ({
          i,
          list: [] as unknown[],
          map: new Map(),
          set: new Set(),
        }));
        for (const [from, to, how] of links) connect(nodes, from % count, to % count, how);
        assertSameGraph(nodes, roundTrip(nodes), new Map());
      }),
      { numRuns: 300 },
    );
  });

  it("of plain values are MessagePack that others can read", () => {
    const plain = fc.jsonValue().filter((value) => !JSON.stringify(value).includes("__proto__"));
    fc.assert(
      fc.property(plain, (value) => {
        const wrapped = [value, undefined, Uint8Array.of(1, 2)];
        const [read, nothing, bytes] = unpack(Buffer.from(encodeValue(wrapped)));
        assert.deepEqual(read, (roundTrip([value]) as unknown[])[0]);
        assert.deepEqual([nothing, ...bytes], [undefined, 1, 2]);
      }),
    );
  });

  it("are copies: neither side sees later changes of the other", () => {
    const bytes = new Uint8Array(300).fill(1);
    const value = { bytes, list: [1] };
    const encoded = encodeValue(value);
    const before = toHex(encoded);
    bytes.fill(2);
    for (let i = 0; i < 300; i++) encodeValue({ i, filler: "x".repeat(i) });
    assert.equal(toHex(encoded), before);
    const decoded = decodeValue(encoded) as typeof value;
    encoded.fill(0);
    assert.deepEqual(decoded.bytes, new Uint8Array(300).fill(1));
  });

  it("may lie in Buffers, which decoding neither keeps nor changes", () => {
    fc.assert(
      fc.property(cloneable, (value) => {
        const encoded = Buffer.from(encodeValue(value));
        const before = encoded.toString("hex");
        const decoded = decodeValue(encoded);
        assert.equal(encoded.toString("hex"), before);
        encoded.fill(0xff);
        assert.deepEqual(decoded, structuredClone(value));
        assert.deepEqual(roundTrip(value), structuredClone(value));
      }),
      { numRuns: 500 },
    );
  });

  it("may be views into larger memory", () => {
    const encoded = encodeValue({ at: 1.5, big: 7n, date: new Date(5), bytes: Uint8Array.of(1), text: "ä" });
    const within = new Uint8Array(encoded.length + 20).fill(0xff);
    within.set(encoded, 7);
    assert.deepEqual(decodeValue(within.subarray(7, 7 + encoded.length)), decodeValue(encoded));
  });

  it("leave the bytes they are read from untouched", () => {
    const encoded = encodeValue(["a", 1.5]);
    decodeValue(encoded);
    assert.deepEqual(Reflect.ownKeys(encoded).length, encoded.length);
  });
});

function connect(
  nodes: { list: unknown[]; map: Map<unknown, unknown>; set: Set<unknown> }[],
  from: number,
  to: number,
  how: number,
): void {
  const [source, target] = [nodes[from], nodes[to]];
  assert.ok(source && target);
  if (how === 0) source.list.push(target);
  else if (how === 1) source.map.set(target, target.list);
  else if (how === 2) source.set.add(target);
  else if (how === 3) source.list.push(new Error("at", { cause: target }), target.map);
  else Object.assign(source, { [`to${to}`]: target });
}

/** Both walked in step: wherever one meets an object again, so must the other. */
function assertSameGraph(a: unknown, b: unknown, pairs: Map<unknown, unknown>): void {
  if (typeof a !== "object" || a === null) {
    assert.ok(Object.is(a, b));
    return;
  }
  if (pairs.has(a)) {
    assert.equal(pairs.get(a), b);
    return;
  }
  pairs.set(a, b);
  assert.equal(new Set(pairs.values()).size, pairs.size);
  const [left, right] = [children(a), children(b as object)];
  assert.equal(left.length, right.length);
  for (const [i, child] of left.entries()) assertSameGraph(child, right[i], pairs);
}

function children(of: object): unknown[] {
  if (of instanceof Map) return [...of].flat();
  if (of instanceof Set) return [...of];
  if (of instanceof Error) return [of.message, of.cause];
  return Object.entries(of).flat();
}

describe("each kind of value", () => {
  const kinds: Record<string, unknown[]> = {
    numbers: [
      0,
      -0,
      1,
      -1,
      127,
      128,
      255,
      256,
      65535,
      65536,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      -32,
      -33,
      -128,
      -129,
      -32768,
      -32769,
      -(2 ** 31),
      -(2 ** 31) - 1,
      2 ** 53,
      1e300,
      5e-324,
      0.1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ],
    bigints: [
      0n,
      -1n,
      5n,
      2n ** 63n - 1n,
      2n ** 63n,
      -(2n ** 63n),
      -(2n ** 63n) - 1n,
      2n ** 64n,
      -(2n ** 64n),
      2n ** 1000n - 3n,
      -(2n ** 1000n) + 3n,
      -(2n ** 100_000n),
      255n ** 100n,
    ],
    strings: [
      "",
      "a",
      "é",
      "😀",
      "\0",
      "\ufeffmark",
      `\ufeff${"x".repeat(100)}`,
      "\ufffd",
      "ÿ".repeat(31),
      "é".repeat(20),
      "x".repeat(31),
      "x".repeat(32),
      "x".repeat(39),
      "x".repeat(40),
      "é".repeat(200),
      "x".repeat(256),
      "x".repeat(65_536),
      "😀".repeat(20_000),
      `${"a".repeat(30)}é`,
    ],
    others: [null, true, false],
    empty: [
      [],
      {},
      "",
      new Uint8Array(0),
      new Map(),
      new Set(),
      new ArrayBuffer(0),
      new Float64Array(0),
      new Error(""),
    ],
    dates: [
      new Date(0),
      new Date(-1),
      new Date(8.64e15),
      new Date(-8.64e15),
      new Date(Number.NaN),
      new Date(1_763_866_800_123),
    ],
    expressions: [/a/g, /[/\]]+/dgimsuy, /\p{L}/v, /(?:)/, /é\n/, /\ud800/],
    errors: [new Error("a", { cause: { b: 1 } }), new TypeError("t"), new RangeError("r", { cause: undefined })],
    boxed: [Object(1), Object(-0), Object("s"), Object(true), Object(5n)],
    bytes: [Uint8Array.of(0, 255), new Uint8Array(255), new Uint8Array(256).fill(7), new Uint8Array(70_000).fill(7)],
    views: [
      Int8Array.of(-1),
      Uint8ClampedArray.of(255),
      Int16Array.of(-300),
      Uint16Array.of(65_535),
      Int32Array.of(-70_000),
      Uint32Array.of(2 ** 32 - 1),
      Float32Array.of(0.5, Number.NaN),
      Float64Array.of(-0, 0.1),
      BigInt64Array.of(-1n),
      BigUint64Array.of(2n ** 64n - 1n),
      Uint8Array.of(1, 2, 3).buffer,
    ],
    containers: [
      [undefined, null, [undefined]],
      { a: undefined, b: [] },
      new Map<unknown, unknown>([
        [{ k: 1 }, undefined],
        [Number.NaN, -0],
        ["x", new Map()],
      ]),
      new Set<unknown>([1, "1", [1], undefined]),
      Array.from({ length: 70_000 }, (_, i) => i),
      Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])),
      new Map(Array.from({ length: 33_000 }, (_, i) => [i, i])),
      Array.from({ length: 100 }, (_, i) => ({ [`k${i}`]: { i } })),
    ],
    names: [
      JSON.parse(
        '{"__proto__":{"polluted":true},"constructor":"c","toJSON":"t","hasOwnProperty":1,"length":3,"valueOf":null,"":0,"0":1,"then":2}',
      ),
      { constructor: { prototype: {} } },
      { "a.b": 1, ключ: 2, ["k".repeat(300)]: 3, ["é".repeat(200)]: 4 },
    ],
  };
  for (const [kind, values] of Object.entries(kinds)) {
    it(`comes back the same, alone and inside: ${kind}`, () => {
      for (const value of values) {
        assert.deepEqual(roundTrip({ in: [value] }), { in: [value] });
        assert.deepEqual(encodeValue(roundTrip(value)), encodeValue(value));
      }
    });
  }

  it("a Float16Array and a DataView come back the same", () => {
    const half = (globalThis as unknown as { Float16Array: { of(...numbers: number[]): object } }).Float16Array.of(
      0.5,
      -2,
    );
    const back = roundTrip([half, new DataView(Uint8Array.of(9, 8, 7).buffer, 1)]) as [object, DataView];
    assert.deepEqual(back[0], half);
    assert.deepEqual([back[1].byteLength, back[1].getUint8(0)], [2, 8]);
  });

  it("a Buffer and a subclass of Uint8Array come back as Uint8Array", () => {
    class Mine extends Uint8Array {}
    for (const bytes of [Buffer.from("ab"), new Mine([97, 98])]) {
      const back = roundTrip([bytes]) as [Uint8Array];
      assert.equal(Object.getPrototypeOf(back[0]), Uint8Array.prototype);
      assert.deepEqual(back[0], Uint8Array.of(97, 98));
    }
  });

  it("a view is stored with the bytes that it shows", () => {
    assert.ok(encodeValue(new Uint16Array(new ArrayBuffer(10_000), 100, 2)).length < 20);
  });

  it("a class instance becomes its own enumerable data, and toJSON is not asked", () => {
    class Point {
      x = 1;
      #hidden = 2;
      toJSON(): string {
        return `no ${this.#hidden}`;
      }
    }
    assert.deepEqual(roundTrip({ at: new Point() }), { at: { x: 1 } });
    assert.deepEqual(
      roundTrip(Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true }, not: { value: 3 } })),
      { own: 2 },
    );
  });

  it("a hole in an array becomes undefined", () => {
    const sparse = [1];
    sparse[3] = 4;
    assert.deepEqual(roundTrip(sparse), [1, undefined, undefined, 4]);
  });

  it("an error keeps name, message and cause, and neither stack nor fields", () => {
    class PaymentError extends Error {
      override name = "PaymentError";
      card = "4111";
    }
    const back = roundTrip(new PaymentError("declined", { cause: new TypeError("inner") })) as Error;
    assert.ok(back instanceof Error);
    assert.deepEqual(
      [back.name, back.message, String(back), Object.keys(back)],
      ["PaymentError", "declined", "PaymentError: declined", []],
    );
    assert.ok(back.cause instanceof TypeError && back.cause.message === "inner");
    assert.equal(back.stack, "PaymentError: declined");
    assert.equal(Object.hasOwn(roundTrip(new Error("e")) as Error, "cause"), false);
    assert.equal((roundTrip(new DOMException("gone", "AbortError")) as Error).name, "AbortError");
    const hostile = Object.defineProperty(new Error("e"), "name", { value: "__proto__" });
    assert.equal((roundTrip(hostile) as Error).name, "__proto__");
  });

  it("objects of another realm are taken for what they are", () => {
    const foreign = vm.runInNewContext(
      "({ list: [1], map: new Map([[1, new Set([2])]]), date: new Date(3), bytes: Uint8Array.of(4), expression: /5/, error: new TypeError('6') })",
    );
    const back = roundTrip(foreign) as Record<string, unknown>;
    assert.deepEqual(back, {
      list: [1],
      map: new Map([[1, new Set([2])]]),
      date: new Date(3),
      bytes: Uint8Array.of(4),
      expression: /5/,
      error: new TypeError("6"),
    });
  });

  it("getters are asked once, and may encode values themselves", () => {
    let asked = 0;
    const value = {
      before: [1],
      get inner() {
        asked++;
        return encodeValue({ deep: "x".repeat(100) });
      },
      after: { ok: true },
    };
    const back = roundTrip(value) as { inner: Uint8Array };
    assert.equal(asked, 1);
    assert.deepEqual(decodeValue(back.inner), { deep: "x".repeat(100) });
    assert.deepEqual({ ...back, inner: 0 }, { before: [1], inner: 0, after: { ok: true } });
  });

  it("a map that changes while it is encoded is encoded as it was at the start", () => {
    const map = new Map<string, unknown>();
    map.set("a", {
      get grow() {
        map.set("b", 1);
        return 1;
      },
    });
    assert.deepEqual(roundTrip(map), new Map([["a", { grow: 1 }]]));
  });
});

describe("integers", () => {
  it("alone are a tag and 8 bytes, as engines rely on", () => {
    assert.equal(INTEGER_TAG, 0xc1);
    const cases: [number, string][] = [
      [0, "c10000000000000000"],
      [1, "c10000000000000001"],
      [-1, "c1ffffffffffffffff"],
      [2 ** 32, "c10000000100000000"],
      [-(2 ** 32) - 1, "c1fffffffeffffffff"],
      [Number.MAX_SAFE_INTEGER, "c1001fffffffffffff"],
      [Number.MIN_SAFE_INTEGER, "c1ffe0000000000001"],
    ];
    for (const [value, hex] of cases) {
      assert.equal(toHex(encodeInteger(value)), hex);
      assert.deepEqual(encodeValue(value), encodeInteger(value));
      assert.equal(decodeInteger(encodeInteger(value)), value);
      assert.equal(decodeValue(encodeInteger(value)), value);
    }
  });

  it("round trip, and agree with 64-bit two's complement", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const bytes = encodeInteger(value);
        assert.equal(new DataView(bytes.buffer).getBigInt64(1), BigInt(value));
        assert.equal(decodeInteger(bytes), value);
      }),
    );
  });

  it("are told apart from everything else", () => {
    for (const value of [-0, 0.5, "12345678", 5n, [1], null, 2 ** 53])
      assert.equal(decodeInteger(encodeValue(value)), undefined);
    assert.equal(decodeInteger(Buffer.from("c10020000000000000", "hex")), undefined);
    assert.equal(decodeInteger(Uint8Array.of(INTEGER_TAG)), undefined);
    for (const bad of [-0.5, 2 ** 53, Number.NaN]) assert.throws(() => encodeInteger(bad), InvalidArgumentError);
  });
});
