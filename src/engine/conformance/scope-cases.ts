import assert from "node:assert/strict";
import type { Key, KeyPart } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { getValue, listAll, listKeys, numbers } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

/** Pairs of scopes that a sloppy encoding would confuse. */
const neighbours: readonly (readonly [Key, Key])[] = [
  [["a"], ["b"]],
  [["a"], ["ab"]],
  [["a", "b"], ["ab"]],
  [["a"], ["a\u0000"]],
  [
    ["a", ""],
    ["a", "\u0000"],
  ],
  [[1], ["1"]],
  [[1], [256]],
  [[true], [false]],
  [["é"], ["e\u0301"]],
  [["log"], ["blob"]],
  [[new Uint8Array([1])], [new Uint8Array([1, 0])]],
];

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function writeAll(engine: Engine, mark: string): Promise<void> {
  await engine.kv.commit({
    mutations: [
      { set: ["k"], value: mark },
      { append: "t", records: [mark] },
    ],
  });
  await engine.blob.put(["b"], bytes(mark));
}

async function holdsOnly(engine: Engine, mark: string): Promise<void> {
  assert.deepEqual(
    (await listAll(engine, {})).map(({ key, value }) => [key, value]),
    [[["k"], mark]],
  );
  assert.deepEqual(
    (await engine.log.read("t")).map(({ value }) => value),
    [mark],
  );
  assert.deepEqual(
    (await Array.fromAsync(engine.blob.list({}))).map(({ key }) => key),
    [["b"]],
  );
  assert.deepEqual(await (await engine.blob.get(["b"]))?.bytes(), bytes(mark));
}

export const scopeFacts = facts("scope", {
  "keys, topics and objects of two scopes are apart, however alike their names": async ({ engine, topic }) => {
    for (const [i, [first, second]] of neighbours.entries()) {
      const [a, b] = [engine.scope("pair", i, ...first), engine.scope("pair", i, ...second)];
      topic("t", a);
      topic("t", b);
      await writeAll(a, "first");
      assert.deepEqual(await listKeys(b, {}), []);
      assert.deepEqual(await b.log.bounds("t"), { first: 0, next: 0 });
      assert.equal(await b.blob.get(["b"]), undefined);
      await writeAll(b, "second");
      await holdsOnly(a, "first");
      await holdsOnly(b, "second");
    }
  },

  "messages of two scopes are apart": async ({ engine, defer, soon }) => {
    const scopes = [engine, engine.scope("a"), engine.scope("a", "b"), engine.scope("ab")];
    const subscriptions = await Promise.all(scopes.map((scope) => scope.bus.subscribe(">")));
    for (const subscription of subscriptions) defer(() => subscription.close());
    for (const [i, scope] of scopes.entries()) await scope.bus.publish("a.b", i);
    for (const [i, subscription] of subscriptions.entries()) {
      await scopes[i]?.bus.publish("end", "end");
      const payloads: unknown[] = [];
      for (const messages = subscription[Symbol.asyncIterator](); payloads.at(-1) !== "end"; ) {
        payloads.push((await soon("a message", messages.next())).value.payload);
      }
      assert.deepEqual(payloads, [i, "end"]);
    }
  },

  "a scope sees and watches what lies below its parts, under shorter keys": async ({ engine, other, follow, soon }) => {
    const scope = engine.scope("s", 1);
    const follower = await follow(scope, {}).begun();
    await other.kv.commit({
      mutations: [
        { set: ["s", 1, "k"], value: "from outside" },
        { set: ["s", 2, "k"], value: "elsewhere" },
        { set: ["s", 1], value: "itself" },
      ],
    });
    await soon(
      "the change",
      follower.until((f) => f.get("k") === "from outside"),
    );
    assert.deepEqual(
      follower.entries.map(({ key }) => key),
      [["k"]],
    );
    assert.deepEqual(
      (await listAll(scope, {})).map(({ key, value }) => [key, value]),
      [[["k"], "from outside"]],
    );
    assert.deepEqual(
      (await scope.kv.getMany([["k"], ["missing"]])).map((entry) => entry?.key),
      [["k"], undefined],
    );
    await scope.kv.set(["k2"], "from inside");
    assert.equal(await getValue(engine, ["s", 1, "k2"]), "from inside");
  },

  "a scope has the log and the objects below its parts": async ({ engine, topic }) => {
    const scope = engine.scope("s", 1);
    await scope.log.append(topic("t", scope), ["inside"]);
    assert.deepEqual(
      (await engine.log.read(["s", 1, "t"])).map(({ value }) => value),
      ["inside"],
    );
    await engine.log.append(["s", 1, "t"], ["outside"]);
    assert.equal((await scope.log.bounds("t")).next, 2);
    await scope.blob.put(["b"], bytes("inside"));
    assert.deepEqual(await (await engine.blob.get(["s", 1, "b"]))?.bytes(), bytes("inside"));
  },

  "scopes of scopes are scopes of all their parts": async ({ engine }) => {
    const [nested, direct] = [engine.scope("a").scope("b", 2), engine.scope("a", "b", 2)];
    await nested.kv.set(["k"], 1);
    assert.equal(await getValue(direct, ["k"]), 1);
    assert.deepEqual(nested.namespace, direct.namespace);
    assert.deepEqual(nested.namespace, [...engine.namespace, "a", "b", 2]);
    assert.deepEqual(engine.scope().namespace, engine.namespace);
    await engine.scope().kv.set(["k"], "same");
    assert.equal(await getValue(engine, ["k"]), "same");
    assert.deepEqual([nested.name, nested.limits, nested.guarantees], [engine.name, engine.limits, engine.guarantees]);
  },

  "versions mean the same in every scope": async ({ engine }) => {
    const scope = engine.scope("s");
    const { version } = await scope.kv.set(["k"], 1);
    assert.equal((await engine.kv.tryCommit({ checks: [{ key: ["s", "k"], version }] })).ok, true);
    const entries = [{ key: ["s", "k"], version }];
    assert.equal((await engine.kv.tryCommit({ checks: [{ range: { prefix: ["s"] }, entries }] })).ok, true);
    const inner = [{ key: ["k"], version }];
    assert.equal((await scope.kv.tryCommit({ checks: [{ range: { prefix: [] }, entries: inner }] })).ok, true);
  },

  "a scope may have any parts that a key may have": async ({ engine }) => {
    const parts: KeyPart[] = [
      "",
      "\u0000",
      "\uffff",
      "😀",
      "a/b",
      "..",
      0,
      -1,
      Number.MAX_SAFE_INTEGER,
      2n ** 70n,
      true,
      new Uint8Array([0, 0xff]),
    ];
    for (const [i, part] of parts.entries()) {
      const scope = engine.scope(part);
      await scope.kv.set(["k"], i);
      assert.deepEqual(await listAll(scope, {}), [
        { key: ["k"], value: i, version: (await scope.kv.get(["k"]))?.version },
      ]);
    }
    assert.equal((await listKeys(engine, {})).length, parts.length);
    const bad = [1.5, Number.NaN, null, undefined, {}, "\ud800"];
    for (const part of bad) await failsWith("INVALID_ARGUMENT", () => engine.scope(part as never).kv.set(["k"], 1));
  },

  "closing a scope leaves the store open": async ({ engine, follow, soon }) => {
    const scope = engine.scope("s");
    const follower = await follow(engine, { prefix: [] }).begun();
    await scope.close();
    await scope.close();
    {
      await using _ = engine.scope("disposed");
    }
    await engine.kv.set(["k"], 1);
    await soon(
      "a change",
      follower.until((f) => f.get("k") === 1),
    );
    await engine.scope("s").kv.set(["k"], 2);
    assert.equal(await getValue(engine, ["s", "k"]), 2);
  },

  "the namespace counts towards the limit of a key": async ({ engine }) => {
    const scope = engine.scope("x".repeat(100));
    const free = engine.limits.keyBytes - 100;
    await failsWith("LIMIT", () => scope.kv.set(["y".repeat(free)], 1), "key");
    await engine.kv.set(["y".repeat(free - 200)], 1);
  },

  "a whole store sees its scopes, and none of what keeps objects": {
    needs: (_, { separate }) => (separate ? undefined : "needs an empty store of its own"),
    run: async ({ openSeparate }) => {
      const store = (await openSeparate()) as Engine;
      assert.deepEqual(store.namespace, []);
      assert.deepEqual(await listKeys(store, {}), []);
      await writeAll(store.scope("s"), "below");
      await writeAll(store, "above");
      await store.bus.publish("a", 1);
      assert.deepEqual(await listKeys(store, {}), [["k"], ["s", "k"]]);
      assert.deepEqual(await listKeys(store, {}, { reverse: true }), [["s", "k"], ["k"]]);
      assert.deepEqual(
        (await Array.fromAsync(store.blob.list({}))).map(({ key }) => key),
        [["b"], ["s", "b"]],
      );
      for (const i of numbers(3)) assert.equal(await store.log.append("t", [i]), i + 1);
      assert.equal((await store.log.bounds(["s", "t"])).next, 1);
    },
  },
});
