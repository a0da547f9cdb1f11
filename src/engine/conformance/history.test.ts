import assert from "node:assert/strict";
import { test } from "node:test";
import type { Batch, Version } from "../contract.ts";
import { type CommitRecord, findViolation, type History, type ReadRecord } from "./history.ts";
import type { OracleEntry, Verdict } from "./oracle.ts";

const version = (name: string): Version => name as Version;

/** A commit that sets `x`, checks what it is told to, and appends its id. Times: [called, returned]. */
function sets(
  id: string,
  value: unknown,
  [called, returned]: readonly [number, number],
  checked?: string | null,
): CommitRecord {
  const checks =
    checked === undefined ? [] : [{ key: ["x"], version: checked === null ? undefined : version(checked) }];
  const batch: Batch = {
    checks,
    mutations: [
      { set: ["x"], value },
      { append: "history", records: [id] },
    ],
  };
  return { id, batch, verdict: { ok: true, adds: [], offsets: [0] }, version: version(id), called, returned };
}

/** The commits, each at its place in the log. */
function placed(...commits: CommitRecord[]): CommitRecord[] {
  return commits.map((commit, i) => ({ ...commit, verdict: { ok: true, adds: [], offsets: [i] } }));
}

const refused: Verdict = { ok: false, refusal: { reason: "check", check: 0 } };
const x = (value: unknown, id: string): OracleEntry[] => [{ key: ["x"], value, version: version(id) }];
const saw = (entries: OracleEntry[], [called, returned]: readonly [number, number]): ReadRecord => ({
  entries,
  called,
  returned,
});

function history(commits: readonly CommitRecord[], order: readonly string[], more: Partial<History> = {}): History {
  return { commits, order, reads: [], observations: [], ...more };
}

const [a, b] = placed(sets("a", 1, [0, 1], null), sets("b", 2, [2, 3], "a")) as [CommitRecord, CommitRecord];

test("a history that one store could have made is accepted", () => {
  const loser: CommitRecord = { ...sets("c", 3, [2, 5], "a"), verdict: refused, version: undefined };
  const reads = [saw([], [0, 0]), saw(x(1, "a"), [0, 2]), saw(x(1, "a"), [2, 2]), saw(x(2, "b"), [3, 3])];
  const observations = [[[], x(1, "a"), x(2, "b")], [x(2, "b")], [[], [], x(2, "b")]];
  assert.equal(findViolation(history([a, b, loser], ["a", "b"], { reads, observations })), undefined);
});

const violations: readonly [what: string, found: History, said: RegExp][] = [
  ["an acknowledged commit that the log lacks", history([a, b], ["a"]), /lacks b/],
  [
    "a refused commit that the log has",
    history([a, { ...b, verdict: refused }], ["a", "b"]),
    /has b, which was refused/,
  ],
  ["a commit that took place twice", history([a], ["a", "a"]), /twice/],
  [
    "a commit whose check did not hold",
    history(placed(sets("a", 1, [0, 9], null), sets("b", 2, [0, 9], null)), ["a", "b"]),
    /b gave/,
  ],
  [
    "a commit out of real time",
    history(placed(sets("b", 2, [2, 3]), sets("a", 1, [0, 1])), ["b", "a"]),
    /a had returned before b was called/,
  ],
  ["a wrong offset", history([a, { ...b, verdict: { ok: true, adds: [], offsets: [7] } }], ["a", "b"]), /b gave/],
  [
    "a refusal without a reason",
    history([a, { ...sets("c", 3, [2, 3], "a"), verdict: refused }], ["a"]),
    /c was answered/,
  ],
  [
    "a refusal for a reason that was gone",
    history([a, b, { ...sets("c", 3, [4, 5], "b"), verdict: refused }], ["a", "b"]),
    /c was answered/,
  ],
  ["a stale read", history([a, b], ["a", "b"], { reads: [saw(x(1, "a"), [4, 5])] }), /a read gave/],
  ["a read of the future", history([a, b], ["a", "b"], { reads: [saw(x(2, "b"), [1, 1])] }), /a read gave/],
  [
    "an observer that goes back",
    history([a, b], ["a", "b"], { observations: [[x(2, "b"), x(1, "a")]] }),
    /state 1 of an observer/,
  ],
  [
    "an observer of what never was",
    history([a, b], ["a", "b"], { observations: [[x(2, "z")]] }),
    /state 0 of an observer/,
  ],
];

for (const [what, found, said] of violations) {
  test(`${what} is found`, () => assert.match(findViolation(found) ?? "nothing", said));
}
