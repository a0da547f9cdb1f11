import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  asBuffer,
  compareBytes,
  concat,
  copyBytes,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
  fromBase64Url,
  fromBinaryString,
  fromHex,
  ownBytes,
  toBase64Url,
  toBinaryString,
  toHex,
} from "./bytes.ts";
import { CorruptionError } from "./errors.ts";
import { unicodeText } from "./testing/arbitraries.ts";

const bytes = fc.uint8Array({ maxLength: 100 });

describe("texts of bytes", () => {
  it("turn back into the bytes", () => {
    fc.assert(
      fc.property(bytes, (given) => {
        assert.deepEqual(fromHex(toHex(given)), given);
        assert.deepEqual(fromHex(toHex(given).toUpperCase()), given);
        assert.deepEqual(fromBase64Url(toBase64Url(given)), given);
        assert.deepEqual(fromBinaryString(toBinaryString(given)), given);
      }),
    );
  });

  it("in binary strings have the order of the bytes", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const [x, y] = [toBinaryString(a), toBinaryString(b)];
        assert.equal(x < y ? -1 : x > y ? 1 : 0, Math.sign(compareBytes(a, b)));
        assert.equal(equalBytes(a, b), x === y);
      }),
    );
  });

  it("that are malformed are corruption", () => {
    for (const text of ["a", "0g", "00 "]) assert.throws(() => fromHex(text), CorruptionError);
    for (const text of ["a", "ab+/", "YQ==", "YR", "Y Q"]) assert.throws(() => fromBase64Url(text), CorruptionError);
  });
});

describe("UTF-8", () => {
  it("keeps every string, a leading byte order mark too", () => {
    fc.assert(fc.property(unicodeText(40), (text) => assert.equal(decodeUtf8(encodeUtf8(text)), text)));
    for (const text of ["\ufeffx", "\ufeff\ufffd"]) assert.equal(decodeUtf8(encodeUtf8(text)), text);
  });

  it("that is malformed is corruption", () => {
    for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80]])
      assert.throws(() => decodeUtf8(Uint8Array.from(bad)), CorruptionError);
  });
});

describe("copies", () => {
  it("of any size hold the part asked for and are never written to again", () => {
    const source = Uint8Array.from({ length: 10_000 }, (_, i) => i * 7);
    const cuts = Array.from({ length: 400 }, (_, i) => ({ start: i, end: i + ((i * i) % 3000) }));
    const copies = cuts.map(({ start, end }) => copyBytes(source, start, end));
    const expected = cuts.map(({ start, end }) => source.slice(start, end));
    source.fill(0);
    assert.deepEqual(copies, expected);
  });

  it("of a Buffer are plain arrays that share nothing with it", () => {
    for (const length of [3, 100, 5000]) {
      const source = Buffer.alloc(length + 2, 1);
      const copy = copyBytes(source, 1, length + 1);
      source.fill(2);
      assert.deepEqual(copy, new Uint8Array(length).fill(1));
    }
  });

  it("of a whole array are another array", () => {
    for (const length of [0, 10, 100, 5000]) {
      const source = new Uint8Array(length).fill(1);
      const copy = copyBytes(source, 0, length);
      source.fill(2);
      assert.deepEqual(copy, new Uint8Array(length).fill(1));
    }
  });

  it("to own fill their buffer", () => {
    const owned = ownBytes(Buffer.from("abc"));
    assert.deepEqual(
      [owned.byteOffset, owned.buffer.byteLength, Object.getPrototypeOf(owned)],
      [0, 3, Uint8Array.prototype],
    );
  });

  it("joined have all parts in order", () => {
    assert.deepEqual(concat(), new Uint8Array(0));
    assert.deepEqual(concat(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3));
  });
});

it("asBuffer shares the memory", () => {
  const source = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
  const buffer = asBuffer(source);
  buffer[0] = 9;
  assert.deepEqual([...source], [9, 3]);
  assert.equal(buffer.length, 2);
});
