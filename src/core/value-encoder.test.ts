import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeValue, encodeValue } from "./codec.ts";
import { InvalidArgumentError, LimitError } from "./errors.ts";

function roundTrip(value: unknown): unknown {
  return decodeValue(encodeValue(value));
}

describe("encodeValue refuses", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle, () => 1);
  const detached = new Uint8Array(4);
  structuredClone(detached, { transfer: [detached.buffer] });
  const detachedFloats = new Float64Array(4);
  structuredClone(detachedFloats, { transfer: [detachedFloats.buffer] });
  const cases: [string, unknown, string][] = [
    ["undefined", undefined, "value: given undefined"],
    ["a function", { items: [0, 1, 2, { run() {} }] }, "value.items[3].run: given a function"],
    ["a symbol", { a: { "b c": Symbol("s") } }, 'value.a["b c"]: given a symbol'],
    ["a symbol alone", Symbol("s"), "value: given a symbol"],
    ["a class", class {}, "value: given a function"],
    ["a promise", [Promise.resolve()], "value[0]: given an instance of Promise"],
    ["a WeakMap", [new WeakMap()], "value[0]: given an instance of WeakMap"],
    ["a WeakSet", [new WeakSet()], "value[0]: "],
    ["a WeakRef", [new WeakRef({})], "value[0]: given an instance of WeakRef"],
    ["a generator", [(function* () {})()], "value[0]: "],
    ["a URL", { home: new URL("http://127.0.0.1") }, "value.home: given an instance of URL"],
    ["a Blob", [new Blob(["x"])], "value[0]: given an instance of Blob"],
    ["an iterator", [new Map().entries()], "value[0]: "],
    ["shared memory", [new SharedArrayBuffer(1)], "value[0]: "],
    ["a boxed symbol", [Object(Symbol("s"))], "value[0]: given a symbol"],
    ["transferred bytes", { detached }, "value.detached: "],
    ["a transferred view", { detachedFloats }, "value.detachedFloats: "],
    ["a lone surrogate", { name: "a\ud800" }, 'value.name: given "a\\ud800"'],
    ["a lone surrogate in a long string", [`${"x".repeat(50)}\udc00`], "value[0]: "],
    ["a lone surrogate as a key", { list: [{ "\ud800": 1 }] }, 'value.list[0]["\\ud800"]: '],
    ["a function in a map", new Map([["k", () => 1]]), "value<value of key 0>: given a function"],
    ["a function as a key of a map", { m: new Map([[() => 1, 1]]) }, "value.m<key 0>: given a function"],
    ["a function in a set", new Set([1, () => 1]), "value<member 1>: given a function"],
    ["a function as a cause", [new Error("e", { cause: () => 1 })], "value[0].cause: given a function"],
    ["a function in a cycle", cycle, "value[1]: given a function"],
  ];
  for (const [what, value, message] of cases) {
    it(`${what}, and says where`, () => {
      assert.throws(
        () => encodeValue(value),
        (error) => error instanceof InvalidArgumentError && error.message.startsWith(message),
      );
    });
  }

  it("under the name that the caller gives", () => {
    assert.throws(() => encodeValue({ f() {} }, "records[3]"), /^InvalidArgumentError: records\[3\]\.f: /);
  });

  it("secrets without showing them", () => {
    assert.throws(
      () => encodeValue({ password: "hunter2\ud800" }),
      (error) => error instanceof InvalidArgumentError && !error.message.includes("hunter2"),
    );
  });

  it("more than 500 levels, and accepts 500", () => {
    const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = wrap(value);
      return value;
    };
    const wraps: ((inner: unknown) => unknown)[] = [
      (inner) => [inner],
      (inner) => ({ inner }),
      (inner) => new Map([[1, inner]]),
      (inner) => new Set([inner]),
      (inner) => new Error("e", { cause: inner }),
    ];
    for (const wrap of wraps) {
      const deepest = nest(500, wrap);
      assert.deepEqual(encodeValue(roundTrip(deepest)), encodeValue(deepest));
      assert.throws(() => encodeValue(nest(501, wrap)), /given "501 levels of nesting"; allowed: at most 500 levels/);
    }
    assert.throws(() => encodeValue(nest(100_000, (inner) => [inner])), InvalidArgumentError);
  });

  it("what would encode to more than 64 MiB, before it fills the memory", () => {
    const endless: unknown[] = [];
    endless[2 ** 32 - 2] = 1;
    for (const value of [endless, new Uint8Array(65 * 1024 * 1024), "x".repeat(65 * 1024 * 1024)]) {
      assert.throws(() => encodeValue(value), LimitError);
    }
    assert.deepEqual(roundTrip("still works"), "still works");
  });

  it("passes on what a getter throws, and works afterwards", () => {
    const thrown = new Error("mine");
    const bad = {
      get a(): never {
        throw thrown;
      },
    };
    assert.throws(
      () => encodeValue(bad),
      (error) => error === thrown,
    );
    assert.deepEqual(roundTrip([{ a: 1 }]), [{ a: 1 }]);
  });
});
