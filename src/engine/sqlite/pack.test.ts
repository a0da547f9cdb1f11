import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CorruptionError } from "../../core/index.ts";
import { integerLength, Packer, Unpacker } from "./pack.ts";

const integer = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.maxSafeNat(),
  fc.constantFrom(0x7f, 0x80, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER),
);

test("integers and bytes come back as they were written, in the length foretold", () => {
  const packer = new Packer();
  fc.assert(
    fc.property(fc.array(fc.tuple(integer, fc.uint8Array({ maxLength: 300 }))), (items) => {
      for (const [number, bytes] of items) packer.integer(number).bytes(bytes);
      const row = new Uint8Array(packer.finish());
      const foretold = items.reduce((sum, [n, b]) => sum + integerLength(n) + integerLength(b.length) + b.length, 0);
      assert.equal(row.length, foretold);
      const unpacker = new Unpacker(row);
      for (const [number, bytes] of items) {
        assert.equal(unpacker.integer(), number);
        assert.deepEqual(new Uint8Array(unpacker.bytes()), bytes);
      }
      assert.equal(unpacker.position, row.length);
    }),
  );
});

test("a row that was cut short is corrupt, wherever it was cut", () => {
  const whole = new Uint8Array(
    new Packer()
      .integer(2 ** 40)
      .bytes(Uint8Array.of(1, 2, 3))
      .finish(),
  );
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => {
      const unpacker = new Unpacker(whole.subarray(0, length));
      unpacker.integer();
      unpacker.bytes();
    }, CorruptionError);
  }
});
