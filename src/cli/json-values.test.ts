import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "./command.ts";
import { parseValue, toJson } from "./json-values.ts";

const values: readonly unknown[] = [
  null,
  true,
  "text",
  -1.5,
  [1, [2, undefined]],
  { a: { b: [] }, $money: 1, $more: 2 },
  { $bytes: "an object that looks like bytes" },
  { $object: { $date: 1 } },
  { $odd: 1 },
  new Uint8Array([0, 127, 255]),
  10n ** 30n,
  new Date(0),
  new Date(Number.NaN),
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  -0,
  new Map<unknown, unknown>([
    [{ key: 1 }, new Set([1n])],
    ["x", undefined],
  ]),
  new Set([new Date(5)]),
  undefined,
];

for (const value of values) {
  const text = JSON.stringify(toJson(value));
  test(`${text} is read as the value that it shows`, () => assert.deepEqual(parseValue(text, "value"), value));
}

test("what cannot be read back is shown all the same", () => {
  const cycle: unknown[] = [/a/g, new TypeError("no"), new Float64Array(2)];
  cycle.push(cycle);
  assert.deepEqual(toJson(cycle), [
    { $other: "/a/g" },
    { $other: "TypeError: no" },
    { $other: "Float64Array of 16 bytes" },
    { $other: "a cycle" },
  ]);
  const twice = { n: 1 };
  assert.deepEqual(toJson([twice, twice]), [{ n: 1 }, { n: 1 }]);
});

test("text that says no value is refused, by name, with a hint", () => {
  const bad: [string, RegExp][] = [
    ["hello", /value: given hello, which is no JSON.*'"hello"'/],
    ["{", /value: given \{, which is no JSON/],
    ['{"$bigint": "x"}', /\{"\$bigint": "x"\} says nothing/],
    ['[{"$what": 1}]', /marks are \$bytes/],
    ['{"$date": "soon"}', /says nothing/],
    ['{"$map": [1]}', /says nothing/],
    ['{"$other": "/a/"}', /says nothing/],
  ];
  for (const [text, said] of bad) {
    assert.throws(
      () => parseValue(text, "value"),
      (error: Error) => error instanceof UsageError && said.test(error.message),
      text,
    );
  }
});
