import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { compareBytes, concat, toHex } from "./bytes.ts";
import { CorruptionError, InvalidArgumentError, isAshlarError } from "./errors.ts";
import { compareKeys, decodeKey, encodeKey, type Key, type KeyPart, keyName } from "./keys.ts";
import { unicodeText } from "./testing/arbitraries.ts";

const zeroRich = fc.uint8Array({ maxLength: 12 }).map((bytes) => bytes.map((byte) => (byte % 3 === 0 ? 0 : byte)));
const text = fc.oneof(
  unicodeText(6),
  unicodeText(60),
  fc.string({ unit: fc.constantFrom("\0", "\u0001", "a", "\uffff", "😀"), maxLength: 4 }),
);
const huge = fc
  .tuple(fc.integer({ min: 0, max: 2039 }), fc.bigInt({ min: -300n, max: 300n }))
  .map(([bits, n]) => (n << BigInt(bits)) / 512n + n);
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -70_000, max: 70_000 }),
  fc.integer({ min: 0, max: 52 }).chain((bits) => fc.integer({ min: -2, max: 2 }).map((off) => 2 ** bits + off)),
  fc.integer({ min: 0, max: 52 }).map((bits) => -(2 ** bits)),
);
const part: fc.Arbitrary<KeyPart> = fc.oneof(text, integer, huge, fc.boolean(), zeroRich);
const key = fc.array(part, { maxLength: 4 });

/** What decoding gives back: integers as numbers where they are safe. */
function normal(parts: Key): KeyPart[] {
  return parts.map((one) => {
    if (typeof one === "bigint" && one >= Number.MIN_SAFE_INTEGER && one <= Number.MAX_SAFE_INTEGER) return Number(one);
    return Object.is(one, -0) ? 0 : one;
  });
}

describe("encoded keys", () => {
  it("have the order of the tuples", () => {
    fc.assert(
      fc.property(key, key, fc.nat(3), (a, b, shared) => {
        const c = [...a.slice(0, shared), ...b];
        for (const other of [b, c]) {
          const bytes = Math.sign(compareBytes(encodeKey(a), encodeKey(other)));
          assert.equal(bytes, Math.sign(compareKeys(a, other)));
          assert.equal(Math.sign(compareKeys(other, a)), 0 - bytes);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("decode to the parts that they were made of", () => {
    fc.assert(
      fc.property(key, (parts) => {
        assert.deepEqual(decodeKey(encodeKey(parts)), normal(parts));
      }),
      { numRuns: 2000 },
    );
  });

  it("follow the prefix's bytes, and decode from behind it", () => {
    fc.assert(
      fc.property(key, fc.uint8Array({ maxLength: 40 }), (parts, prefix) => {
        const encoded = encodeKey(parts, prefix);
        assert.deepEqual(encoded, concat(prefix, encodeKey(parts)));
        assert.deepEqual(decodeKey(encoded, prefix.length), normal(parts));
      }),
    );
  });

  it("are the bytes that the table in keys.ts says", () => {
    const cases: [KeyPart, string][] = [
      [Uint8Array.of(), "0100"],
      [Uint8Array.of(0, 1, 0), "0100ff0100ff00"],
      ["", "0200"],
      ["a\0é", "026100ffc3a900"],
      ["\ufeffx", "02efbbbf7800"],
      [0, "14"],
      [-0, "14"],
      [1, "1501"],
      [255, "15ff"],
      [256, "160100"],
      [-1, "13fe"],
      [-256, "12feff"],
      [2 ** 32, "190100000000"],
      [Number.MAX_SAFE_INTEGER, "1b1fffffffffffff"],
      [Number.MIN_SAFE_INTEGER, "0de0000000000000"],
      [2n ** 64n - 1n, "1cffffffffffffffff"],
      [2n ** 64n, "1d09010000000000000000"],
      [-(2n ** 64n) + 1n, "0c0000000000000000"],
      [-(2n ** 64n), "0bf6feffffffffffffffff"],
      [false, "26"],
      [true, "27"],
    ];
    for (const [given, expected] of cases) assert.equal(toHex(encodeKey([given])), expected, String(given));
  });

  it("of 5 and of 5n are the same", () => {
    assert.deepEqual(encodeKey([5]), encodeKey([5n]));
    assert.equal(compareKeys([5], [5n]), 0);
    assert.deepEqual(decodeKey(encodeKey([5n, 2n ** 53n])), [5, 2n ** 53n]);
  });

  it("hold integers of up to 255 bytes", () => {
    for (const n of [2n ** 2040n - 1n, -(2n ** 2040n) + 1n]) assert.deepEqual(decodeKey(encodeKey([n])), [n]);
    assert.throws(() => encodeKey([2n ** 2040n]), InvalidArgumentError);
    assert.throws(() => encodeKey(["a", -(2n ** 100_000n)]), /key\[1\]: given a bigint of more than 256 bits/);
  });

  it("hold long strings and bytes", () => {
    const long: Key = ["é".repeat(5000), new Uint8Array(100_000), "x".repeat(70_000)];
    assert.deepEqual(decodeKey(encodeKey(long)), long);
    assert.deepEqual(decodeKey(encodeKey(["after", 1])), ["after", 1]);
  });

  it("are copies that later keys do not disturb", () => {
    const parts = Array.from({ length: 300 }, (_, i): Key => ["k".repeat(i), i]);
    const encoded = parts.map((one) => encodeKey(one));
    assert.deepEqual(
      encoded.map((one) => decodeKey(one)),
      parts,
    );
  });

  it("may lie in Buffers, which decoding neither keeps nor changes", () => {
    fc.assert(
      fc.property(key, (parts) => {
        const encoded = Buffer.from(encodeKey(parts));
        const before = encoded.toString("hex");
        const decoded = decodeKey(encoded);
        assert.equal(encoded.toString("hex"), before);
        encoded.fill(0xff);
        assert.deepEqual(decoded, normal(parts));
      }),
    );
  });

  it("decode to bytes that do not share the encoded key's memory", () => {
    const encoded = encodeKey([Uint8Array.of(1, 2, 3)]);
    const [bytes] = decodeKey(encoded);
    encoded.fill(9);
    assert.deepEqual(bytes, Uint8Array.of(1, 2, 3));
  });
});

describe("encodeKey", () => {
  it("names the part that is no key part", () => {
    const bad: unknown[] = [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      1.5,
      2 ** 53,
      "\ud800",
      `${"x".repeat(50)}\udfff`,
      null,
      undefined,
      {},
      [],
      Symbol("s"),
    ];
    for (const one of bad) {
      assert.throws(
        () => encodeKey(["fine", one as KeyPart]),
        (error) => isAshlarError(error, "INVALID_ARGUMENT") && error.message.startsWith("key[1]: given "),
      );
    }
    assert.throws(() => encodeKey("user" as unknown as Key), /key: given "user"; allowed: an array/);
    assert.throws(
      () => encodeKey([Number.NaN], undefined, "checks[3].key"),
      /^InvalidArgumentError: checks\[3\]\.key\[0\]: given NaN/,
    );
  });

  it("works after it refused a key", () => {
    assert.throws(() => encodeKey(["a", Number.NaN]));
    assert.deepEqual(decodeKey(encodeKey(["b"])), ["b"]);
  });
});

describe("decodeKey", () => {
  it("refuses what encodeKey does not write", () => {
    const bad = [
      "00",
      "0261",
      "02ff00",
      "02c328" + "00",
      "0161",
      "15",
      "1500",
      "1600ff",
      "13ff",
      "1d",
      "1d08ffffffffffffffff",
      "1d0900ffffffffffffffff",
      "0bf6",
      "28",
      "ff",
    ];
    for (const hex of bad) assert.throws(() => decodeKey(Buffer.from(hex, "hex")), CorruptionError, hex);
  });

  it("gives parts or CorruptionError for any bytes, and what it accepts is what encodeKey writes", () => {
    const code = fc.constantFrom(0x00, 0x01, 0x02, 0x0b, 0x0c, 0x13, 0x14, 0x15, 0x1c, 0x1d, 0x26, 0x27, 0xff, 0x61);
    const bytes = fc.array(fc.oneof(code, fc.nat(255)), { maxLength: 24 }).map((list) => Uint8Array.from(list));
    fc.assert(
      fc.property(bytes, (given) => {
        let parts: KeyPart[];
        try {
          parts = decodeKey(given);
        } catch (error) {
          assert.ok(error instanceof CorruptionError, String(error));
          return;
        }
        assert.deepEqual(encodeKey(parts), given);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("keyName", () => {
  it("shows a key as one would write it", () => {
    assert.equal(keyName(["user", 42, true, 7n, Uint8Array.of(0xab, 1)]), '["user", 42, true, 7n, 0xab01]');
    assert.equal(keyName([]), "[]");
  });

  it("stays short", () => {
    const parts = Array.from({ length: 100 }, () => "x".repeat(1000));
    assert.ok(keyName(parts).length <= 110);
    assert.ok(keyName([new Uint8Array(10_000), 10n ** 500n]).length <= 140);
  });
});
