import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CorruptionError } from "./errors.ts";
import { ByteReader, ByteWriter } from "./frames.ts";
import { unicodeText } from "./testing/arbitraries.ts";

type Field =
  | { u8: number }
  | { u32: number }
  | { u64: number }
  | { f64: number }
  | { bytes: Uint8Array }
  | { text: string };

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ u8: fc.nat(255) }),
  fc.record({ u32: fc.nat(2 ** 32 - 1) }),
  fc.record({ u64: fc.maxSafeNat() }),
  fc.record({ f64: fc.double() }),
  fc.record({ bytes: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ text: unicodeText(20) }),
);

function write(fields: readonly Field[]): Uint8Array {
  const writer = new ByteWriter(16);
  for (const one of fields) {
    if ("u8" in one) writer.u8(one.u8);
    else if ("u32" in one) writer.u32(one.u32);
    else if ("u64" in one) writer.u64(one.u64);
    else if ("f64" in one) writer.f64(one.f64);
    else if ("bytes" in one) writer.bytes(one.bytes);
    else writer.text(one.text);
  }
  return writer.take();
}

/** Reads fields of the kinds given. */
function read(bytes: Uint8Array, kinds: readonly Field[]): Field[] {
  const reader = new ByteReader(bytes);
  const fields = kinds.map((kind): Field => {
    if ("u8" in kind) return { u8: reader.u8() };
    if ("u32" in kind) return { u32: reader.u32() };
    if ("u64" in kind) return { u64: reader.u64() };
    if ("f64" in kind) return { f64: reader.f64() };
    if ("bytes" in kind) return { bytes: reader.bytes().slice() };
    return { text: reader.text() };
  });
  reader.end();
  return fields;
}

describe("frames", () => {
  it("give back what was written", () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
        assert.deepEqual(
          read(write(fields), fields),
          fields.map((one) => ({ ...one })),
        );
      }),
    );
  });

  it("that are cut off anywhere are corruption, though more bytes lie behind in memory", () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 8 }), fc.nat(), (fields, cut) => {
        const frame = write(fields);
        assert.throws(() => read(frame.subarray(0, cut % frame.length), fields), CorruptionError);
      }),
    );
  });

  it("are read from any bytes without reading beyond them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(field, { maxLength: 8 }), (noise, kinds) => {
        try {
          const total = read(noise, kinds).length;
          assert.equal(total, kinds.length);
        } catch (error) {
          assert.ok(error instanceof CorruptionError, String(error));
        }
      }),
    );
  });

  it("with bytes left at the end are corruption", () => {
    assert.throws(() => read(write([{ u8: 1 }, { u8: 2 }]), [{ u8: 0 }]), /1 bytes more/);
  });

  it("are big-endian", () => {
    assert.deepEqual(
      [
        ...new ByteWriter()
          .u32(0x01020304)
          .u64(2 ** 40 + 5)
          .take(),
      ],
      [1, 2, 3, 4, 0, 0, 1, 0, 0, 0, 0, 5],
    );
  });
});

describe("ByteWriter", () => {
  it("is empty after take, and what was taken stays", () => {
    const writer = new ByteWriter();
    const first = writer.text("first").take();
    assert.equal(writer.length, 0);
    const second = writer.text("other").take();
    assert.equal(new ByteReader(first).text(), "first");
    assert.equal(new ByteReader(second).text(), "other");
  });

  it("refuses numbers that do not fit", () => {
    const writer = new ByteWriter();
    for (const value of [-1, 2 ** 53, 0.5, Number.NaN]) assert.throws(() => writer.u64(value), RangeError);
    assert.throws(() => writer.u32(2 ** 32), RangeError);
    assert.throws(() => writer.u8(256), RangeError);
    assert.equal(writer.length, 0);
  });
});

describe("ByteReader", () => {
  it("refuses integers above 2^53 - 1", () => {
    const reader = new ByteReader(new Uint8Array(8).fill(0xff));
    assert.throws(() => reader.u64(), CorruptionError);
  });

  it("says how much remains", () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3));
    reader.u8();
    assert.equal(reader.remaining, 2);
  });
});
