import assert from "node:assert/strict";
import { it } from "node:test";
import { renderValue } from "./render.ts";

it("primitives are shown as they are", () => {
  const cases: [unknown, string][] = [
    ["a\nb", '"a\\nb"'],
    [Number.NaN, "NaN"],
    [-0, "-0"],
    [7n, "7n"],
    [true, "true"],
    [null, "null"],
    [undefined, "undefined"],
  ];
  for (const [value, expected] of cases) assert.equal(renderValue(value), expected);
});

it("everything else is shown by its kind, not by its contents", () => {
  const cases: [unknown, string][] = [
    [[1, 2], "an array of 2"],
    [{ user: "ann", password: "hunter2" }, "an object with the keys user, password"],
    [{}, "an object with the keys (none)"],
    [new Map([["secret", 1]]), "an instance of Map"],
    [Buffer.from("abc"), "a Buffer of 3 bytes"],
    [() => "secret", "a function"],
    [Symbol("secret"), "a symbol"],
    [Object.create(null), "an object with the keys (none)"],
    [Object.create(Object.create(null)), "an instance of an unnamed class"],
  ];
  for (const [value, expected] of cases) assert.equal(renderValue(value), expected);
});

it("no rendering is longer than 80 characters or ends within a character", () => {
  const long = [
    10n ** 1000n,
    10n ** 76n,
    "x".repeat(10_000),
    "😀".repeat(200),
    `a${"😀".repeat(200)}`,
    { ["k".repeat(500)]: 1 },
  ];
  for (const value of long) {
    const text = renderValue(value);
    assert.ok(text.length <= 80, text);
    assert.ok(text.isWellFormed());
  }
});

it("passwords in URLs and parameters are left out", () => {
  assert.equal(renderValue("postgres://ann:hunter2@db:5432/app"), '"postgres://***@db:5432/app"');
  assert.equal(renderValue("postgres://ann:p@ss@db/app"), '"postgres://***@db/app"');
  assert.equal(renderValue("host=db password=hunter2 user=ann"), '"host=db password=*** user=ann"');
  assert.equal(renderValue("http://a/?token=hunter2&b=1"), '"http://a/?token=***&b=1"');
});

it("a value whose name sounds secret is shown by its type only", () => {
  for (const name of ["password", "options.apiKey", "clientSecret", "auth_token"]) {
    assert.equal(renderValue("hunter2", name), "a string");
  }
  assert.equal(renderValue(undefined, "password"), "undefined");
  assert.equal(renderValue("a", "key[1]"), '"a"');
});
