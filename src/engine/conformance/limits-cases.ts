import assert from "node:assert/strict";
import { type AshlarError, encodeKey, encodeValue, type Key } from "../../core/index.ts";
import { type Engine, type Limits, type Mutation, portableLimits } from "../contract.ts";
import { fill, getValue, listAll, listKeys, numbers } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

/** A key of exactly so many encoded bytes, the namespace included. */
function keyOf(engine: Engine, size: number, first = "k"): Key {
  const key = [first, "x".repeat(size - encodeKey([...engine.namespace, first, ""]).length)];
  assert.equal(encodeKey([...engine.namespace, ...key]).length, size);
  return key;
}

/** A value of exactly so many encoded bytes. */
function valueOfSize(size: number): Uint8Array {
  let length = size;
  while (encodeValue(new Uint8Array(length)).length > size) length--;
  const value = new Uint8Array(length).fill(0xc1);
  assert.equal(encodeValue(value).length, size);
  return value;
}

function tellsLimit(error: AshlarError, given: number, limit: number): void {
  assert.deepEqual([error.details["given"], error.details["limit"]], [given, limit], error.message);
}

/** Sets that together have exactly so many bytes of keys and values. */
function setsOf(engine: Engine, bytes: number): Mutation[] {
  const { valueBytes, keyBytes } = engine.limits;
  const keySize = Math.min(keyBytes, 200);
  const mutations: Mutation[] = [];
  for (let left = bytes; left > 0; ) {
    const size = Math.min(left, valueBytes + keySize);
    // What would remain must still have room for a key and a value's header.
    const take = left - size > 0 && left - size < 2 * keySize ? size - 2 * keySize : size;
    mutations.push({ set: keyOf(engine, keySize, `n${mutations.length}`), value: valueOfSize(take - keySize) });
    left -= take;
  }
  return mutations;
}

export const limitsFacts = facts("limits", {
  "no limit is below the portable ones": async ({ engine }) => {
    for (const [name, least] of Object.entries(portableLimits)) {
      const limit = engine.limits[name as keyof Limits];
      assert.ok(Number.isSafeInteger(limit) && limit >= least, `${name} is ${limit}, portable is ${least}`);
    }
  },

  "a key may have all the bytes of its limit, and not one more": async ({ engine, topic }) => {
    const { keyBytes } = engine.limits;
    const [fits, over] = [keyOf(engine, keyBytes), keyOf(engine, keyBytes + 1)];
    await engine.kv.set(fits, "largest");
    assert.equal(await getValue(engine, fits), "largest");
    assert.deepEqual(await listKeys(engine, {}), [fits]);
    const calls: (() => unknown)[] = [
      () => engine.kv.get(over),
      () => engine.kv.getMany([fits, over]),
      () => engine.kv.set(over, 1),
      () => engine.kv.delete(over),
      () => engine.kv.add(over, 1),
      () => engine.kv.tryCommit({ checks: [{ key: over, version: undefined }], mutations: [{ set: ["a"], value: 1 }] }),
      () => engine.transact((tx) => tx.set(over, 1)),
      () => engine.transact((tx) => tx.get(over)),
    ];
    for (const call of calls) tellsLimit(await failsWith("LIMIT", call, "key"), keyBytes + 1, keyBytes);
    assert.deepEqual(await listKeys(engine, {}), [fits]);
    await engine.kv.delete(fits);
    assert.equal(await engine.log.append(topic(keyOf(engine, keyBytes)), [1]), 0);
    await failsWith("LIMIT", () => engine.log.append(over, [1]), "topic");
  },

  "a value may have all the bytes of its limit, and not one more": async ({ engine, topic }) => {
    const { valueBytes, commitBytes } = engine.limits;
    const size = Math.min(valueBytes, commitBytes - 1000);
    const fits = valueOfSize(size);
    await engine.kv.set(["k"], fits);
    assert.deepEqual(await getValue(engine, ["k"]), fits);
    assert.equal(await engine.log.append(topic("t"), [fits]), 0);
    const over = valueOfSize(valueBytes + 1);
    const calls: (() => unknown)[] = [
      () => engine.kv.set(["a"], over),
      () =>
        engine.kv.tryCommit({
          mutations: [
            { set: ["b"], value: 1 },
            { set: ["a"], value: over },
          ],
        }),
      () => engine.log.append("t", ["fine", over]),
      () => engine.transact((tx) => tx.set(["a"], over)),
      () => engine.transact((tx) => void tx.append("t", [over])),
    ];
    for (const call of calls) tellsLimit(await failsWith("LIMIT", call), valueBytes + 1, valueBytes);
    assert.deepEqual(await listKeys(engine, {}), [["k"]]);
    assert.equal((await engine.log.bounds("t")).next, 1);
  },

  "a commit may have all the operations of its limit, and not one more": async ({ engine, topic }) => {
    const { operations } = engine.limits;
    const sets = numbers(operations + 1).map((i): Mutation => ({ set: ["n", i], value: 0 }));
    tellsLimit(
      await failsWith("LIMIT", () => engine.kv.commit({ mutations: sets }), "operations"),
      operations + 1,
      operations,
    );
    await failsWith("LIMIT", () => engine.log.append(topic("t"), numbers(operations + 1)), "operations");
    const half = Math.floor(operations / 2);
    const checks = numbers(operations - half + 1).map((i) => ({ key: ["n", i], version: undefined }));
    await failsWith("LIMIT", () => engine.kv.tryCommit({ checks, mutations: sets.slice(0, half) }), "operations");
    assert.deepEqual(await listAll(engine, { prefix: ["n"] }, { limit: 1 }), []);
    assert.equal((await engine.log.bounds("t")).next, 0);
    await engine.kv.commit({ checks: checks.slice(1), mutations: sets.slice(0, half) });
    assert.equal((await listKeys(engine, { prefix: ["n"] })).length, half);
    await engine.kv.commit({ mutations: sets.slice(0, operations) });
    assert.equal((await listKeys(engine, { prefix: ["n"] })).length, operations);
    assert.equal(await engine.log.append("t", numbers(operations)), 0);
    assert.equal((await engine.log.bounds("t")).next, operations);
  },

  "each entry of a range check counts as an operation": async ({ engine }) => {
    const { operations } = engine.limits;
    const keys = numbers(operations + 1).map((i) => ["n", i]);
    await fill(engine, keys);
    const entries = (await listAll(engine, { prefix: ["n"] })).map(({ key, version }) => ({ key, version }));
    const check = (count: number) => ({
      range: { prefix: ["n"], end: ["n", count] },
      entries: entries.slice(0, count),
    });
    await failsWith("LIMIT", () => engine.kv.tryCommit({ checks: [check(operations + 1)] }), "operations");
    assert.equal((await engine.kv.tryCommit({ checks: [check(operations - 1)] })).ok, true);
  },

  "getMany takes as many keys as a commit has operations, and not one more": async ({ engine }) => {
    const { operations } = engine.limits;
    await engine.kv.set(["n", operations - 1], "last");
    const keys = numbers(operations + 1).map((i) => ["n", i]);
    const found = await engine.kv.getMany(keys.slice(0, operations));
    assert.deepEqual([found.length, found.at(-1)?.value, found[0]], [operations, "last", undefined]);
    tellsLimit(await failsWith("LIMIT", () => engine.kv.getMany(keys), "keys"), operations + 1, operations);
  },

  "a commit may have all the bytes of its limit, and not one more": async ({ engine }) => {
    const { commitBytes } = engine.limits;
    const over = setsOf(engine, commitBytes + 1);
    tellsLimit(
      await failsWith("LIMIT", () => engine.kv.commit({ mutations: over }), "bytes"),
      commitBytes + 1,
      commitBytes,
    );
    assert.deepEqual(await listAll(engine, {}, { limit: 1 }), []);
    const fits = setsOf(engine, commitBytes);
    assert.equal((await engine.kv.commit({ mutations: fits })).ok, true);
    assert.equal((await listKeys(engine, {})).length, fits.length);
  },

  "a message within its limit arrives, and a larger one is refused": async ({ engine, other, defer, soon }) => {
    const { messageBytes } = engine.limits;
    const subscription = await other.bus.subscribe("s");
    defer(() => subscription.close());
    await failsWith("LIMIT", () => engine.bus.publish("s", valueOfSize(messageBytes + 1)));
    const fits = valueOfSize(messageBytes);
    await engine.bus.publish("s", fits);
    const { value } = await soon("the message", subscription[Symbol.asyncIterator]().next());
    assert.deepEqual(value, { subject: "s", payload: fits });
  },

  "what is within the portable limits is taken": async ({ engine, topic }) => {
    const value = valueOfSize(portableLimits.valueBytes);
    await engine.kv.commit({
      mutations: numbers(3).map((i) => ({ set: keyOf(engine, portableLimits.keyBytes, `k${i}`), value })),
    });
    const rest = portableLimits.operations;
    await engine.kv.commit({ mutations: numbers(rest).map((i) => ({ set: ["n", i], value: i })) });
    await engine.log.append(topic("t"), numbers(rest));
    assert.equal((await listKeys(engine, {})).length, 3 + rest);
  },
});
