import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CorruptionError } from "../../core/index.ts";
import { anyRevision, type RawCommit, type RawOutcome } from "../driver.ts";
import { decodeCommits, decodeOutcomes, encodeCommits, encodeOutcomes } from "./frames.ts";

const blob = fc.uint8Array({ maxLength: 20 });
const ttl = fc.option(fc.double({ min: 0.5, max: 1e12, noNaN: true }), { nil: undefined });
const bound = fc.option(
  fc.record({ clock: fc.constantFrom("none" as const, "ms" as const, "us" as const), plus: fc.maxSafeInteger() }),
  {
    nil: undefined,
  },
);
const check = fc.oneof(
  fc.record({
    kind: fc.constant("key" as const),
    key: blob,
    revision: fc.oneof(fc.maxSafeNat(), fc.constant(anyRevision)),
  }),
  fc
    .record({ start: blob, end: blob, entries: fc.array(fc.tuple(blob, fc.maxSafeNat()), { maxLength: 4 }) })
    .map(({ start, end, entries }) => ({
      kind: "range" as const,
      start,
      end,
      keys: entries.map(([key]) => key),
      revisions: entries.map(([, revision]) => revision),
    })),
);
const mutation = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), key: blob, value: blob, ttl }),
  fc.record({ kind: fc.constant("delete" as const), key: blob }),
  fc.record({
    kind: fc.constant("add" as const),
    key: blob,
    delta: fc.maxSafeInteger(),
    floor: bound,
    ceiling: bound,
    ttl,
  }),
  fc.record({ kind: fc.constant("append" as const), topic: blob, records: fc.array(blob, { maxLength: 4 }) }),
);
const commits: fc.Arbitrary<RawCommit[]> = fc.array(
  fc.record({
    checks: fc.array(check, { maxLength: 3 }),
    mutations: fc.array(mutation, { maxLength: 3 }),
    bytes: fc.constant(0),
  }),
);

const index = fc.integer({ min: 0, max: 10_000 });
const outcomes: fc.Arbitrary<RawOutcome[]> = fc.array(
  fc.oneof(
    fc.record({
      ok: fc.constant(true as const),
      revision: fc.maxSafeNat(),
      adds: fc.array(
        fc.record({ value: fc.maxSafeInteger(), ceiling: fc.option(fc.maxSafeInteger(), { nil: undefined }) }),
      ),
      offsets: fc.array(fc.maxSafeNat()),
    }),
    fc.record({
      ok: fc.constant(false as const),
      reason: fc.constantFrom("check" as const, "not-integer" as const, "overflow" as const),
      index,
    }),
    fc.record({
      ok: fc.constant(false as const),
      reason: fc.constant("ceiling" as const),
      index,
      value: fc.maxSafeInteger(),
      ceiling: fc.maxSafeInteger(),
    }),
  ),
);

/** Views become arrays of their own, so that they can be compared. */
function own<T>(value: T): T {
  if (value instanceof Uint8Array) return new Uint8Array(value) as T;
  if (Array.isArray(value)) return value.map(own) as T;
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, own(field)])) as T;
  }
  return value;
}

test("commits come out of a frame as they went in", () => {
  fc.assert(fc.property(commits, (given) => assert.deepEqual(own(decodeCommits(encodeCommits(given))), own(given))));
});

test("outcomes come out of a frame as they went in", () => {
  fc.assert(fc.property(outcomes, (given) => assert.deepEqual(own(decodeOutcomes(encodeOutcomes(given))), own(given))));
});

test("a frame that was cut short is corrupt", () => {
  const frame = encodeCommits([{ checks: [], mutations: [{ kind: "delete", key: Uint8Array.of(1, 2, 3) }], bytes: 0 }]);
  assert.throws(() => decodeCommits(frame.slice(0, frame.length - 1)), CorruptionError);
});

test("what cannot be encoded leaves nothing behind in the next frame", () => {
  const bad: RawCommit = { checks: [{ kind: "key", key: Uint8Array.of(1), revision: -2 }], mutations: [], bytes: 0 };
  assert.throws(() => encodeCommits([bad]), RangeError);
  assert.deepEqual(decodeCommits(encodeCommits([])), []);
});
