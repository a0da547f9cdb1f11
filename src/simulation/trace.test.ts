import assert from "node:assert/strict";
import { test } from "node:test";
import { type Decision, Trace } from "./trace.ts";

function traceOf(decisions: readonly Decision[], expected?: readonly Decision[]): Trace {
  const trace = new Trace({ record: true, expected });
  for (const { label, value } of decisions) trace.note(trace.label(label), value);
  return trace;
}

const some: Decision[] = [
  { label: "a", value: 1 },
  { label: "b", value: 0.5 },
  { label: "a", value: 2 },
];

test("equal decisions have equal hashes; another label, value, order or end gives another one", () => {
  assert.equal(traceOf(some).hash, traceOf(some).hash);
  assert.match(traceOf(some).hash, /^[0-9a-f]{16}$/);
  const [first, second, third] = some as [Decision, Decision, Decision];
  const others = [
    [],
    [first, second],
    [...some, third],
    [second, first, third],
    [first, second, { label: "c", value: 2 }],
    [first, second, { label: "a", value: 2 + 2 ** -50 }],
    [first, { label: "b", value: -0.5 }, third],
  ];
  const hashes = new Set([some, ...others].map((decisions) => traceOf(decisions).hash));
  assert.equal(hashes.size, others.length + 1);
});

test("a run that leaves the path of an earlier one says where", () => {
  const [first, , third] = some as [Decision, Decision, Decision];
  assert.equal(traceOf(some, some).divergence, undefined);
  const found = { label: "b", value: 0.25 };
  assert.deepEqual(traceOf([first, found, third], some).divergence, { index: 1, expected: some[1], found });
  assert.deepEqual(traceOf([first], some).divergence, { index: 1, expected: some[1], found: undefined });
  assert.deepEqual(traceOf([...some, first], some).divergence, { index: 3, expected: undefined, found: first });
});
