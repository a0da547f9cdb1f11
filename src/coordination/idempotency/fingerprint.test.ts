import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fingerprintOf } from "./fingerprint.ts";

test("the order of properties and of the entries of maps and sets does not matter", () => {
  assert.equal(fingerprintOf({ a: 1, b: { c: [1, 2], d: null } }), fingerprintOf({ b: { d: null, c: [1, 2] }, a: 1 }));
  const one = new Map<unknown, unknown>([
    ["x", 1],
    [{ k: 1 }, 2],
  ]);
  const two = new Map<unknown, unknown>([
    [{ k: 1 }, 2],
    ["x", 1],
  ]);
  assert.equal(fingerprintOf(one), fingerprintOf(two));
  assert.equal(fingerprintOf(new Set([1, "1", true])), fingerprintOf(new Set([true, 1, "1"])));
});

test("what differs has another fingerprint", () => {
  const values: unknown[] = [
    undefined,
    null,
    true,
    false,
    0,
    1,
    1n,
    -1,
    0.1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    "",
    "1",
    "1n",
    "null",
    "undefined",
    [],
    [null],
    [[]],
    [1, 2],
    [2, 1],
    {},
    { a: 1 },
    { a: "1" },
    { b: 1 },
    { a: { a: 1 } },
    [{ a: 1 }],
    new Uint8Array(0),
    new Uint8Array([49]),
    new Map(),
    new Set(),
    new Map([["a", 1]]),
    new Set(["a"]),
    "a",
    "bytes()",
    "map()",
    new Date(0),
    "€",
    "\u{1F600}",
  ];
  const seen = new Map<string, unknown>();
  for (const value of values) {
    const fingerprint = fingerprintOf(value);
    assert.ok(!seen.has(fingerprint), `${String(value)} and ${String(seen.get(fingerprint))}`);
    seen.set(fingerprint, value);
  }
});

test("it is the hash of canonical JSON, so other languages can make it", () => {
  // RFC 8785, section 3.2.3: sorted by UTF-16 code units.
  assert.equal(
    fingerprintOf({
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "1": "One",
      "\u{1F600}": "Smiley",
      ö: [1e21, -0, 4.5],
    }),
    "njOCpT-BMcK5gCsI3tsRxt7JZuTKRZuxqJb52LqoBJ4",
  );
});

test("as in JSON, what is undefined in an object is absent, and toJSON is asked", () => {
  assert.equal(fingerprintOf({ a: undefined, b: 1 }), fingerprintOf({ b: 1 }));
  assert.equal(fingerprintOf([undefined]), fingerprintOf([null]));
  assert.equal(fingerprintOf(new Date(0)), fingerprintOf("1970-01-01T00:00:00.000Z"));
  assert.equal(fingerprintOf(Buffer.from("a")), fingerprintOf(new Uint8Array([97])));
});

test("what has no canonical form is refused by its path", () => {
  const circle: { self?: unknown } = {};
  circle.self = circle;
  assert.throws(() => fingerprintOf(circle), /fingerprint\.self/);
  assert.throws(() => fingerprintOf({ items: [1, () => 1] }), /fingerprint\.items\[1\]/);
  assert.throws(() => fingerprintOf(Symbol("s")), /fingerprint/);
  assert.throws(() => fingerprintOf({ a: "\ud800" }), /fingerprint\.a/);
  let deep: unknown = 1;
  for (let i = 0; i < 501; i++) deep = [deep];
  assert.throws(() => fingerprintOf(deep), /at most 500 levels/);
});

test("the same object at two places is no circle", () => {
  const address = { city: "Bern" };
  assert.equal(
    fingerprintOf({ to: address, from: address }),
    fingerprintOf({ from: { city: "Bern" }, to: { city: "Bern" } }),
  );
});

test("equal JSON values have equal fingerprints, unequal ones different", () => {
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([name, item]) => [name, shuffled(item)]),
    );
  };
  // Two values are the same for JSON if they are after a round trip.
  const plain = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);
  fc.assert(
    fc.property(plain, plain, (a, b) => {
      assert.equal(fingerprintOf(a), fingerprintOf(shuffled(a)));
      let same = true;
      try {
        assert.deepStrictEqual(a, b);
      } catch {
        same = false;
      }
      assert.equal(fingerprintOf(a) === fingerprintOf(b), same);
    }),
  );
});
