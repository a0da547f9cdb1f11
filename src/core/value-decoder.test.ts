import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { toHex } from "./bytes.ts";
import { decodeValue, encodeValue } from "./codec.ts";
import { CorruptionError } from "./errors.ts";
import { cloneable } from "./testing/arbitraries.ts";

function roundTrip(value: unknown): unknown {
  return decodeValue(encodeValue(value));
}

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
