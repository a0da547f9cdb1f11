import assert from "node:assert/strict";
import { test } from "node:test";
import type { Key } from "../core/index.ts";
import { UsageError } from "./command.ts";
import { parseKey, parseTopic, showKey } from "./key-paths.ts";

test("a path is a key whose whole numbers are integers", () => {
  const paths: [string, Key][] = [
    ["user/42", ["user", 42]],
    ["a", ["a"]],
    ["-7/0/00/1.5/1e3/+1/-0", [-7, 0, "00", "1.5", "1e3", "+1", "-0"]],
    ["9007199254740993", [9007199254740993n]],
    ["a//b/", ["a", "", "b", ""]],
    ["true", ["true"]],
  ];
  for (const [path, key] of paths) assert.deepEqual(parseKey(path), key, path);
});

test("a JSON array is the key itself", () => {
  assert.deepEqual(parseKey('["user", "42", 42, true, {"$bytes": "AP8="}, {"$bigint": "5"}]'), [
    "user",
    "42",
    42,
    true,
    new Uint8Array([0, 255]),
    5n,
  ]);
  for (const bad of ["", "[1", "[1.5]", "[null]", "[[1]]", "[{}]"]) assert.throws(() => parseKey(bad), UsageError, bad);
});

test("a key is shown so that it is read as the same key", () => {
  const keys: Key[] = [
    ["user", 42],
    ["user", "42"],
    ["a/b"],
    [""],
    ["["],
    ["a", "", "b"],
    ["two words"],
    ["\u0000"],
    [true],
    ["true"],
    [2n ** 70n],
    [new Uint8Array([1])],
    ["-5"],
    ["00"],
    ["é", "😀"],
    [-5],
  ];
  for (const key of keys) assert.deepEqual(parseKey(showKey(key)), key, showKey(key));
  assert.equal(showKey(["user", 42, "name"]), "user/42/name");
});

test("a topic is its name as it stands, or a tuple as JSON", () => {
  assert.equal(parseTopic("clicks/3"), "clicks/3");
  assert.deepEqual(parseTopic('["clicks", 3]'), ["clicks", 3]);
});
