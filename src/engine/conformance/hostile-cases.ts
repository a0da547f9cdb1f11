import assert from "node:assert/strict";
import { compareKeys, type Key, type KeyPart } from "../../core/index.ts";
import { fill, getValue, listAll, listKeys, numbers } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Parts in their order: each is before the next. */
const parts: readonly KeyPart[] = [
  bytes(),
  bytes(0),
  bytes(0, 0),
  bytes(0, 1),
  bytes(0, 0xff),
  bytes(1),
  bytes(0x7f),
  bytes(0xff),
  bytes(0xff, 0),
  bytes(0xff, 0xff),
  "",
  "\u0000",
  "\u0000\u0000",
  "\u0000a",
  " ",
  "%_\\'\"`;--",
  "A",
  "a",
  "a\u0000",
  "a\u0000b",
  "ab",
  "e\u0301",
  "\u007f",
  "\u0080",
  "é",
  "\uffff",
  "\u{10000}",
  "😀",
  "\u{10ffff}",
  -(2n ** 200n),
  -(2n ** 64n),
  -(2n ** 64n) + 1n,
  -(2n ** 63n),
  -(2n ** 53n),
  Number.MIN_SAFE_INTEGER,
  -(2 ** 32),
  -65_536,
  -257,
  -256,
  -255,
  -1,
  0,
  1,
  255,
  256,
  65_535,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  2n ** 200n,
  false,
  true,
];

const cyclic: Record<string, unknown> = { name: "cyclic" };
cyclic["self"] = cyclic;
cyclic["list"] = [cyclic, { back: cyclic }];

const repeated = { shared: true };

/** Values that lazy encodings lose. */
const values: Readonly<Record<string, unknown>> = {
  null: null,
  false: false,
  "minus zero": -0,
  NaN: Number.NaN,
  infinity: Number.NEGATIVE_INFINITY,
  "a fraction": 0.1 + 0.2,
  "the smallest number": Number.MIN_VALUE,
  "an unsafe integer": 2 ** 60,
  "a bigint": 10n ** 60n,
  "a small bigint": -5n,
  "an empty text": "",
  "a text with zeros": "a\u0000b\u0000",
  "an astral text": "😀\u{10ffff}é",
  "a long text": "ä".repeat(50_000),
  "empty bytes": bytes(),
  "bytes that look like codes": Uint8Array.from(numbers(256)),
  "the byte that stands for nothing": bytes(0xc1, 0xc1),
  "an empty list": [],
  "an empty object": {},
  "undefined members": { a: undefined, b: [undefined, null] },
  "a date": new Date(8.64e15),
  "a date that is none": new Date(Number.NaN),
  "a map": new Map<unknown, unknown>([
    [{ key: 1 }, new Map([[Number.NaN, -0]])],
    ["x", undefined],
  ]),
  "a set": new Set([1, "1", 1n, null, bytes(1)]),
  "a regular expression": /a[/\]]+\u{1f600}/giu,
  "typed arrays": [
    new Float64Array([-0, Number.NaN]),
    new Int16Array([-1]),
    new BigInt64Array([-1n]),
    new DataView(new ArrayBuffer(3)),
  ],
  "an array buffer": new Uint8Array([1, 2, 3]).buffer,
  "names that mean something to objects": JSON.parse(
    '{"__proto__": {"polluted": true}, "constructor": 1, "toString": 2, "": 3, "1": 4}',
  ),
  "a cyclic object": cyclic,
  "an object twice": [repeated, repeated],
  "a deep object": numbers(400).reduce<unknown>((inner, i) => ({ [i]: inner }), "bottom"),
  "a wide object": Object.fromEntries(numbers(2000).map((i) => [`field ${i}`, i])),
};

const refusedValues: Readonly<Record<string, unknown>> = {
  "a function": () => 1,
  "a function inside": { list: [1, { run: () => 1 }] },
  "a symbol": Symbol("s"),
  "a lone surrogate": "\ud800",
  "a lone surrogate inside": [{ text: "a\udfffb" }],
  "a lone surrogate as a name": { "\ud800": 1 },
  "a promise": Promise.resolve(1),
  "a weak map": new WeakMap(),
  "too deep an object": numbers(600).reduce<unknown>((inner) => [inner], "bottom"),
};

const keyFacts = facts("hostile", {
  "keys of every kind come back as they were": async ({ engine, other }) => {
    const keys = parts.flatMap((part): Key[] => [[part], ["k", part, part], [part, "end"]]);
    const check = async (key: Key, i: number): Promise<void> => {
      const { version } = await engine.kv.set(key, i);
      assert.deepEqual(await other.kv.get(key), { key, value: i, version });
    };
    await Promise.all(keys.map(check));
    assert.equal((await listAll(engine, {})).length, parts.length * 3);
  },

  "keys of every kind are listed in the order of tuples": async ({ engine, other, chance }) => {
    for (const [i, part] of parts.slice(1).entries())
      assert.ok(compareKeys([parts[i] as KeyPart], [part]) < 0, `part ${i}`);
    const keys: Key[] = parts.flatMap((part): Key[] => [
      ["o", part],
      ["o", part, chance.pick(parts)],
    ]);
    const shuffled = keys.map((key) => [chance.next(), key] as const).sort(([a], [b]) => a - b);
    await fill(
      engine,
      shuffled.map(([, key]) => key),
    );
    const sorted = keys.toSorted(compareKeys);
    assert.deepEqual(await listKeys(other, { prefix: ["o"] }), sorted);
    assert.deepEqual(await listKeys(other, { prefix: ["o"] }, { reverse: true }), sorted.toReversed());
    for (const [i, part] of parts.entries()) {
      const [below] = await listAll(engine, { prefix: ["o", part] });
      assert.equal(below?.key.length, 3, `below part ${i}`);
      assert.deepEqual(await listKeys(engine, { start: ["o", part] }, { limit: 1 }), [["o", part]]);
      const next = parts[i + 1];
      if (next !== undefined)
        assert.deepEqual(await listKeys(engine, { prefix: ["o"], start: ["o", part], end: ["o", next] }), [
          ["o", part],
          below?.key,
        ]);
    }
  },

  "5 and 5n are the same part, and come back as a number": async ({ engine }) => {
    await engine.kv.set(["k", 5n], "bigint");
    assert.deepEqual((await engine.kv.get(["k", 5]))?.key, ["k", 5]);
    await engine.kv.set(["k", -0], "zero");
    assert.deepEqual((await engine.kv.get(["k", 0]))?.key, ["k", 0]);
    assert.equal((await listAll(engine, {})).length, 2);
  },

  "keys that differ in one bit are two keys": async ({ engine }) => {
    const pairs: [Key, Key][] = [
      [["1"], [1]],
      [[1], [true]],
      [["a"], [bytes(0x61)]],
      [["a", "b"], ["ab"]],
      [["a", ""], ["a"]],
      [["a\u0000"], ["a", ""]],
      [["é"], ["e\u0301"]],
      [["A"], ["a"]],
      [["a"], ["a "]],
      [[2n ** 64n], [2n ** 64n + 1n]],
    ];
    for (const [i, [a, b]] of pairs.entries()) {
      await engine.kv.set([i, ...a], "first");
      assert.equal(await engine.kv.get([i, ...b]), undefined, `pair ${i}`);
      await engine.kv.set([i, ...b], "second");
      assert.equal(await getValue(engine, [i, ...a]), "first", `pair ${i}`);
    }
  },

  "a key of very many parts is one key": async ({ engine }) => {
    const key = numbers(300).map(() => 0);
    await engine.kv.set(key, "deep");
    assert.deepEqual(await listKeys(engine, { prefix: key.slice(0, 299) }), [key]);
  },
});

const valueFacts = facts("hostile", {
  "values of every kind come back as they were, from keys, topics, messages and transactions": async ({
    engine,
    other,
    topic,
    defer,
    soon,
  }) => {
    const subscription = await other.bus.subscribe("s");
    defer(() => subscription.close());
    const messages = subscription[Symbol.asyncIterator]();
    for (const [name, value] of Object.entries(values)) {
      const expected = structuredClone(value);
      await engine.kv.set([name], value);
      assert.deepEqual(await getValue(other, [name]), expected, name);
      const offset = await engine.log.append(topic("t"), [value]);
      assert.deepEqual((await other.log.read("t", { from: offset }))[0]?.value, expected, name);
      assert.deepEqual(await engine.transact((tx) => tx.get([name])), expected, name);
      if (name.startsWith("a long") || name.startsWith("a wide")) continue;
      await engine.bus.publish("s", value);
      assert.deepEqual((await soon(name, messages.next())).value.payload, expected, name);
    }
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    const [twice] = [(await getValue(engine, ["an object twice"])) as unknown[]];
    assert.equal(twice[0], twice[1], "one object in two places stays one");
  },

  "values that cannot be stored are refused by their place, and nothing is written": async ({ engine, topic }) => {
    for (const [name, value] of Object.entries(refusedValues)) {
      const calls: [() => unknown, string][] = [
        [() => engine.kv.set(["k"], value), "value"],
        [
          () =>
            engine.kv.commit({
              mutations: [
                { set: ["a"], value: 1 },
                { set: ["k"], value },
              ],
            }),
          "value",
        ],
        [() => engine.log.append(topic("t"), [1, value]), "records[1]"],
        [() => engine.bus.publish("s", value), "payload"],
        [() => engine.transact((tx) => tx.set(["k"], value)), "value"],
      ];
      for (const [call, place] of calls) await failsWith("INVALID_ARGUMENT", call, place);
      assert.deepEqual(await listKeys(engine, {}), [], name);
    }
    assert.equal((await engine.log.bounds("t")).next, 0);
  },

  "a value whose getter fails writes nothing": async ({ engine }) => {
    const error = new Error("the getter broke");
    const value = {
      get broken(): never {
        throw error;
      },
    };
    await assert.rejects(async () => await engine.kv.set(["k"], value), error);
    assert.equal(await engine.kv.get(["k"]), undefined);
    await engine.kv.set(["k"], "fine");
    assert.equal(await getValue(engine, ["k"]), "fine");
  },
});

export const hostileFacts = [...keyFacts, ...valueFacts];
