import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { compareBytes } from "./bytes.ts";
import { isAshlarError } from "./errors.ts";
import { type ByteRange, encodeRange, type KeyRange } from "./key-ranges.ts";
import { compareKeys, encodeKey, type Key, type KeyPart } from "./keys.ts";

// Few different parts, so that keys often begin with each other.
const part = fc.constantFrom<KeyPart>(
  "",
  "a",
  "a\0",
  "b",
  0,
  1,
  -1,
  255,
  true,
  Uint8Array.of(),
  Uint8Array.of(0),
  Uint8Array.of(0xff),
  2n ** 70n,
);
const key = fc.array(part, { maxLength: 3 });
const span = fc
  .tuple(
    fc.record({ prefix: key, end: key }, { requiredKeys: [] }),
    fc.oneof(fc.constant({}), fc.record({ start: key }), fc.record({ after: key })),
  )
  .map(([ends, starts]): KeyRange => ({ ...ends, ...starts }));
const ranges: fc.Arbitrary<KeyRange> = fc.oneof(
  { weight: 5, arbitrary: span },
  { weight: 1, arbitrary: fc.record({ key }) },
);

function holds(bytes: ByteRange, encoded: Uint8Array): boolean {
  return compareBytes(bytes.start, encoded) <= 0 && compareBytes(encoded, bytes.end) < 0;
}

/** Membership by the words of the definition, on tuples. */
function belongs(range: KeyRange, one: Key): boolean {
  if (range.key !== undefined) return compareKeys(one, range.key) === 0;
  const { prefix, start, after, end } = range;
  if (prefix !== undefined && prefix.length > 0) {
    if (one.length <= prefix.length || compareKeys(one.slice(0, prefix.length), prefix) !== 0) return false;
  }
  if (start !== undefined && compareKeys(one, start) < 0) return false;
  if (after !== undefined && compareKeys(one, after) <= 0) return false;
  return end === undefined || compareKeys(one, end) < 0;
}

describe("encodeRange", () => {
  it("holds exactly the keys that the definition names, under any namespace", () => {
    fc.assert(
      fc.property(
        ranges,
        key,
        fc.constantFrom(undefined, encodeKey(["app"]), encodeKey(["app", 0])),
        (given, one, namespace) => {
          assert.equal(holds(encodeRange(given, namespace), encodeKey(one, namespace)), belongs(given, one));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("never puts the end before the start", () => {
    fc.assert(
      fc.property(ranges, (given) => {
        const { start, end } = encodeRange(given);
        assert.ok(compareBytes(start, end) <= 0);
      }),
    );
  });

  it("with no field holds everything under the namespace and nothing beside it", () => {
    const namespace = encodeKey(["app"]);
    for (const given of [{}, { prefix: [] }]) {
      const bytes = encodeRange(given, namespace);
      assert.ok(holds(bytes, namespace));
      assert.ok(holds(bytes, encodeKey([true, "z"], namespace)));
      assert.ok(!holds(bytes, encodeKey(["ap"])));
      assert.ok(!holds(bytes, encodeKey(["app\0"])));
      assert.ok(!holds(bytes, encodeKey(["apq"])));
    }
  });

  it("with a prefix leaves out the tuple itself and keys that only look alike", () => {
    const bytes = encodeRange({ prefix: ["user"] });
    assert.ok(holds(bytes, encodeKey(["user", ""])));
    assert.ok(!holds(bytes, encodeKey(["user"])));
    assert.ok(!holds(bytes, encodeKey(["user\0", 1])));
    assert.ok(!holds(bytes, encodeKey(["users", 1])));
  });

  it("whose start is at or after its end is empty", () => {
    for (const given of [
      { start: ["b"], end: ["a"] },
      { start: ["a"], end: ["a"] },
      { prefix: ["a"], start: ["b"] },
    ]) {
      const { start, end } = encodeRange(given);
      assert.deepEqual(start, end);
    }
  });

  it("names what is wrong", () => {
    const bad: [unknown, RegExp][] = [
      [undefined, /^range: given undefined/],
      [null, /^range: given null/],
      [{ prefx: ["a"] }, /^range\.prefx: /],
      [{ start: ["a"], after: ["a"] }, /^range: .*either start or after/],
      [{ key: ["a"], end: ["b"] }, /^range: .*key alone/],
      [{ prefix: "a" }, /^range\.prefix: given "a"/],
      [{ end: ["a", Number.NaN] }, /^range\.end\[1\]: given NaN/],
      [{ key: 1 }, /^range\.key: given 1/],
      [["a"], /^range: given an array of 1/],
      [[], /^range: given an array of 0/],
    ];
    for (const [given, message] of bad) {
      assert.throws(
        () => encodeRange(given as KeyRange),
        (error) => isAshlarError(error, "INVALID_ARGUMENT") && message.test(error.message),
        String(message),
      );
    }
  });
});
