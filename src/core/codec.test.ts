import assert from "node:assert/strict";
import { describe, it } from "node:test";
import vm from "node:vm";
import fc from "fast-check";
import { unpack } from "msgpackr";
import { toHex } from "./bytes.ts";
import { decodeInteger, decodeValue, encodeInteger, encodeValue, INTEGER_TAG } from "./codec.ts";
import { CorruptionError, InvalidArgumentError, LimitError } from "./errors.ts";
import { unicodeText } from "./testing/arbitraries.ts";

function roundTrip(value: unknown): unknown {
  return decodeValue(encodeValue(value));
}

const text = fc.oneof(unicodeText(12), unicodeText(80), fc.string({ maxLength: 300 }));
const cloneable = fc
  .anything({
    maxDepth: 4,
    key: fc.oneof(text, fc.constantFrom("__proto__", "constructor", "toJSON", "hasOwnProperty", "length", "0", "")),
    values: [text, fc.double(), fc.maxSafeInteger(), fc.integer(), fc.boolean(), fc.constantFrom(null, undefined, -0)],
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
  })
  .filter((value) => value !== undefined);

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

describe("encodeValue refuses", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle, () => 1);
  const detached = new Uint8Array(4);
  structuredClone(detached, { transfer: [detached.buffer] });
  const detachedFloats = new Float64Array(4);
  structuredClone(detachedFloats, { transfer: [detachedFloats.buffer] });
  const cases: [string, unknown, string][] = [
    ["undefined", undefined, "value: given undefined"],
    ["a function", { items: [0, 1, 2, { run() {} }] }, "value.items[3].run: given a function"],
    ["a symbol", { a: { "b c": Symbol("s") } }, 'value.a["b c"]: given a symbol'],
    ["a symbol alone", Symbol("s"), "value: given a symbol"],
    ["a class", class {}, "value: given a function"],
    ["a promise", [Promise.resolve()], "value[0]: given an instance of Promise"],
    ["a WeakMap", [new WeakMap()], "value[0]: given an instance of WeakMap"],
    ["a WeakSet", [new WeakSet()], "value[0]: "],
    ["a WeakRef", [new WeakRef({})], "value[0]: given an instance of WeakRef"],
    ["a generator", [(function* () {})()], "value[0]: "],
    ["a URL", { home: new URL("http://127.0.0.1") }, "value.home: given an instance of URL"],
    ["a Blob", [new Blob(["x"])], "value[0]: given an instance of Blob"],
    ["an iterator", [new Map().entries()], "value[0]: "],
    ["shared memory", [new SharedArrayBuffer(1)], "value[0]: "],
    ["a boxed symbol", [Object(Symbol("s"))], "value[0]: given a symbol"],
    ["transferred bytes", { detached }, "value.detached: "],
    ["a transferred view", { detachedFloats }, "value.detachedFloats: "],
    ["a lone surrogate", { name: "a\ud800" }, 'value.name: given "a\\ud800"'],
    ["a lone surrogate in a long string", [`${"x".repeat(50)}\udc00`], "value[0]: "],
    ["a lone surrogate as a key", { list: [{ "\ud800": 1 }] }, 'value.list[0]["\\ud800"]: '],
    ["a function in a map", new Map([["k", () => 1]]), "value<value of key 0>: given a function"],
    ["a function as a key of a map", { m: new Map([[() => 1, 1]]) }, "value.m<key 0>: given a function"],
    ["a function in a set", new Set([1, () => 1]), "value<member 1>: given a function"],
    ["a function as a cause", [new Error("e", { cause: () => 1 })], "value[0].cause: given a function"],
    ["a function in a cycle", cycle, "value[1]: given a function"],
  ];
  for (const [what, value, message] of cases) {
    it(`${what}, and says where`, () => {
      assert.throws(
        () => encodeValue(value),
        (error) => error instanceof InvalidArgumentError && error.message.startsWith(message),
      );
    });
  }

  it("under the name that the caller gives", () => {
    assert.throws(() => encodeValue({ f() {} }, "records[3]"), /^InvalidArgumentError: records\[3\]\.f: /);
  });

  it("secrets without showing them", () => {
    assert.throws(
      () => encodeValue({ password: "hunter2\ud800" }),
      (error) => error instanceof InvalidArgumentError && !error.message.includes("hunter2"),
    );
  });

  it("more than 500 levels, and accepts 500", () => {
    const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = wrap(value);
      return value;
    };
    const wraps: ((inner: unknown) => unknown)[] = [
      (inner) => [inner],
      (inner) => ({ inner }),
      (inner) => new Map([[1, inner]]),
      (inner) => new Set([inner]),
      (inner) => new Error("e", { cause: inner }),
    ];
    for (const wrap of wraps) {
      const deepest = nest(500, wrap);
      assert.deepEqual(encodeValue(roundTrip(deepest)), encodeValue(deepest));
      assert.throws(() => encodeValue(nest(501, wrap)), /given "501 levels of nesting"; allowed: at most 500 levels/);
    }
    assert.throws(() => encodeValue(nest(100_000, (inner) => [inner])), InvalidArgumentError);
  });

  it("what would encode to more than 64 MiB, before it fills the memory", () => {
    const endless: unknown[] = [];
    endless[2 ** 32 - 2] = 1;
    for (const value of [endless, new Uint8Array(65 * 1024 * 1024), "x".repeat(65 * 1024 * 1024)]) {
      assert.throws(() => encodeValue(value), LimitError);
    }
    assert.deepEqual(roundTrip("still works"), "still works");
  });

  it("passes on what a getter throws, and works afterwards", () => {
    const thrown = new Error("mine");
    const bad = {
      get a(): never {
        throw thrown;
      },
    };
    assert.throws(
      () => encodeValue(bad),
      (error) => error === thrown,
    );
    assert.deepEqual(roundTrip([{ a: 1 }]), [{ a: 1 }]);
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

describe("decodeValue", () => {
  it("refuses what is cut off, too long, or unknown", () => {
    const bad = [
      "",
      "c1",
      "c10020000000000000",
      "c4",
      "c405",
      "d9",
      "da00",
      "dbffffffff",
      "ddffffffff",
      "dfffffffff",
      "93c0c0",
      "81a161",
      "8101c0",
      "81c0c0",
      "c0c0",
      "ca00000000",
      "cf00",
      "d4",
      "d40100",
      "93c9000000035390c0c0",
      "d400",
      "d40001",
      "d65000000000",
      "d66900000001",
      "d74400",
      "d75000000000000000",
      "c700",
      "c9",
      "c90000000199ff",
      "c9000000024d9101",
      "c9000000014dc0",
      "c900000002530000",
      "c9000000025291c0",
      "c90000000442",
      "c90000000042",
      "c9000000025404",
      "c9000000035404ff",
      "c900000001540d",
      "c900000002540d00",
      "c9000000014fc0",
      "c90000000352a12800",
      "c90000000365a0a0c2",
      "a1ff",
      "d904ffffffff",
      "a2c328",
    ];
    for (const hex of bad) assert.throws(() => decodeValue(Buffer.from(hex, "hex")), CorruptionError, hex);
  });

  it("gives a value or CorruptionError for any bytes", () => {
    const letters = fc.constantFrom(
      0x00,
      0x42,
      0x44,
      0x45,
      0x4d,
      0x4f,
      0x50,
      0x52,
      0x53,
      0x54,
      0x80,
      0x81,
      0x90,
      0x92,
      0xa0,
      0xa1,
      0xc0,
      0xc4,
      0xc9,
      0xd4,
      0xd6,
      0xd7,
      0xdc,
      0xde,
    );
    const noise = fc.array(fc.oneof(letters, fc.nat(255)), { maxLength: 40 }).map((list) => Uint8Array.from(list));
    fc.assert(
      fc.property(noise, (bytes) => assertDecodesOrRefuses(bytes)),
      { numRuns: 5000 },
    );
  });

  it("gives a value or CorruptionError for damaged values", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(cloneable, damage, fc.nat(), fc.boolean(), (value, changes, length, cut) => {
        const bytes = encodeValue([value, value]).slice();
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        assertDecodesOrRefuses(cut ? bytes.subarray(0, length % bytes.length) : bytes);
      }),
      { numRuns: 1500 },
    );
  });

  it("refuses endless nesting in every form without exhausting the stack", () => {
    const nested = (open: string, depth: number): Uint8Array => Buffer.from(`${open.repeat(depth)}c0`, "hex");
    for (const open of ["91", "81a161", "dc0001"])
      assert.throws(() => decodeValue(nested(open, 100_000)), CorruptionError);
    for (const open of ["c9000fffff4d9201", "c9000fffff5391", "c9000fffff45a0a0c3", "c9000fffff4f"]) {
      assert.throws(() => decodeValue(nested(open, 200_000)), CorruptionError);
    }
  });

  it("is not made to allocate by false lengths", () => {
    const bytes = new Uint8Array(2_500_000);
    for (let at = 0; at + 5 < bytes.length; at += 5) bytes.set([0xdd, 0x00, 0x10, 0x00, 0x00], at);
    const before = process.memoryUsage().rss;
    assert.throws(() => decodeValue(bytes), CorruptionError);
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
  });

  it("never changes a prototype", () => {
    const back = roundTrip(
      JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
    ) as object;
    assert.equal(Object.getPrototypeOf(back), Object.prototype);
    assert.ok(Object.hasOwn(back, "__proto__"));
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});

function assertDecodesOrRefuses(bytes: Uint8Array): void {
  try {
    decodeValue(bytes);
  } catch (error) {
    assert.ok(error instanceof CorruptionError, `${toHex(bytes)}: ${String(error)}`);
  }
}
