import assert from "node:assert/strict";
import { it } from "node:test";
import { toHex } from "./bytes.ts";
import { decodeValue, encodeValue } from "./codec.ts";

const shared = { a: 1 };
const loop: unknown[] = [];
loop.push(loop);

/** What stores hold already: these bytes never change. */
const stored: [unknown, string][] = [
  [null, "c0"],
  [false, "c2"],
  [true, "c3"],
  [7, "c10000000000000007"],
  [-0, "cb8000000000000000"],
  [0.5, "cb3fe0000000000000"],
  [[0, 127, 128, 256, 65_536, 4_294_967_296], "96007fcc80cd0100ce00010000cb41f0000000000000"],
  [[-1, -32, -33, -129, -32_769], "95ffe0d0dfd1ff7fd2ffff7fff"],
  ["é", "a2c3a9"],
  ["x".repeat(32), `d920${"78".repeat(32)}`],
  ["x".repeat(256), `da0100${"78".repeat(256)}`],
  [{ a: undefined, b: [] }, "82a161d40000a16290"],
  [Uint8Array.of(1, 2), "c4020102"],
  [5n, "d7420000000000000005"],
  [-(2n ** 64n), "c90000000a42ffff0000000000000000"],
  [new Date(1), "d7443ff0000000000000"],
  [new Map([["a", 1]]), "c9000000044d92a16101"],
  [new Set([1]), "c900000002539101"],
  [new TypeError("m"), "c90000000d45a9547970654572726f72a16dc2"],
  [new Error("m", { cause: 1 }), "c90000000a45a54572726f72a16dc301"],
  [/a/g, "c90000000452a161a167"],
  [Object(1), "c9000000014f01"],
  [Uint16Array.of(258), "c90000000354050201"],
  [Uint8Array.of(9).buffer, "c900000002540009"],
  [[shared, shared], "9281a16101d65000000001"],
  [loop, "91d65000000000"],
];

it("values are stored as these bytes, and read from them", () => {
  for (const [value, hex] of stored) {
    assert.equal(toHex(encodeValue(value)), hex);
    assert.deepEqual(decodeValue(Buffer.from(hex, "hex")), value);
  }
});
