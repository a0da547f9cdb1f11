import assert from "node:assert/strict";
import type { Key, KeyRange } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { during, repeat } from "./during.ts";
import { fill, getValue, listAll, listKeys, listValues, numbers } from "./entries.ts";
import { abortedSignal, failsBy } from "./expecting.ts";
import { facts } from "./fact.ts";

/** Keys that show where ranges begin and end. */
const tree: readonly Key[] = [
  ["a"],
  ["a", 1],
  ["a", 1, "x"],
  ["a", 2],
  ["a", 10],
  ["ab"],
  ["b"],
  ["b", "x"],
  ["c", true],
];

async function plant(engine: Engine): Promise<void> {
  // Out of order, so that the order of a list is not the order of writing.
  await fill(engine, tree.toReversed());
}

async function lists(engine: Engine, range: KeyRange, expected: readonly Key[]): Promise<void> {
  assert.deepEqual(await listKeys(engine, range), expected, JSON.stringify(range));
  assert.deepEqual(await listKeys(engine, range, { reverse: true }), expected.toReversed(), JSON.stringify(range));
}

const reading = facts("kv", {
  "an absent key is undefined": async ({ engine }) => {
    assert.equal(await engine.kv.get(["nothing"]), undefined);
  },

  "a key that was set is there with its value and version, and without a ttl": async ({ engine }) => {
    const { version } = await engine.kv.set(["user", 42], { name: "Ada" });
    assert.deepEqual(await engine.kv.get(["user", 42]), { key: ["user", 42], value: { name: "Ada" }, version });
  },

  "a key that was set again has the last value": async ({ engine }) => {
    for (const value of ["first", "second", null]) await engine.kv.set(["k"], value);
    assert.equal(await getValue(engine, ["k"]), null);
  },

  "an acknowledged commit is seen by every client at once": {
    guarantee: "reads",
    needs: ({ guarantees }) => (guarantees.reads === "linearizable" ? undefined : `reads are ${guarantees.reads}`),
    run: async ({ engine, other }) => {
      for (let i = 0; i < 25; i++) {
        const [writer, reader] = i % 2 === 0 ? [engine, other] : [other, engine];
        await writer.kv.set(["k"], i);
        assert.equal(await getValue(reader, ["k"]), i);
        assert.equal((await reader.kv.getMany(["k"].map((part) => [part])))[0]?.value, i);
        assert.deepEqual(await listValues(reader, { prefix: [] }), [i]);
      }
    },
  },

  "a stale read gives a state that existed and catches up": async ({ engine, other, eventually }) => {
    await engine.kv.set(["k"], 1);
    await eventually(
      "a stale read of what was there",
      async () => (await other.kv.get(["k"], { stale: true }))?.value === 1,
    );
    await engine.kv.set(["k"], 2);
    await eventually("a stale read of the new value", async () => {
      const found = (await other.kv.get(["k"], { stale: true }))?.value;
      assert.ok(found === 1 || found === 2, `met ${found}`);
      return found === 2;
    });
  },

  "getMany answers in the order asked, undefined where absent, and twice what is asked twice": async ({ engine }) => {
    await engine.kv.commit({
      mutations: [
        { set: ["a"], value: 1 },
        { set: ["b"], value: 2 },
      ],
    });
    const found = await engine.kv.getMany([["b"], ["missing"], ["a"], ["b"]]);
    assert.deepEqual(
      found.map((entry) => entry?.value),
      [2, undefined, 1, 2],
    );
    assert.deepEqual(
      found.map((entry) => entry?.key),
      [["b"], undefined, ["a"], ["b"]],
    );
  },

  "getMany of no keys is empty": async ({ engine }) => {
    assert.deepEqual(await engine.kv.getMany([]), []);
  },

  "getMany reads one snapshot while others write": async ({ engine, other, runtime }) => {
    const keys = numbers(20).map((i) => ["k", i]);
    const write = (n: number) => other.kv.commit({ mutations: keys.map((key) => ({ set: key, value: n })) });
    await write(0);
    await during(runtime, repeat(60, write), async () => {
      const values = new Set((await engine.kv.getMany(keys)).map((entry) => entry?.value));
      assert.equal(values.size, 1, `values of several commits in one snapshot: ${[...values]}`);
    });
  },

  "a page of a list is one snapshot while others write": async ({ engine, other, chance, runtime }) => {
    const keys = numbers(20).map((i) => ["k", i]);
    const write = (n: number) => other.kv.commit({ mutations: keys.map((key) => ({ set: key, value: n })) });
    await write(0);
    await during(runtime, repeat(60, write), async () => {
      const values = new Set(await listValues(engine, { prefix: ["k"] }, { limit: 20, reverse: chance.hits(0.5) }));
      assert.equal(values.size, 1, `values of several commits in one page: ${[...values]}`);
    });
  },

  "what a read gives belongs to the reader": async ({ engine }) => {
    const value = { list: [1] };
    await engine.kv.set(["k"], value);
    value.list.push(2);
    const first = await engine.kv.get<{ list: number[] }>(["k"]);
    assert.deepEqual(first?.value, { list: [1] });
    first?.value.list.push(3);
    first?.key.push("changed");
    assert.deepEqual(await engine.kv.get(["k"]), { key: ["k"], value: { list: [1] }, version: first?.version });
  },
});

const ranges = facts("kv", {
  "a list is in key order, and reversed in the reverse of it": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { prefix: [] }, tree);
    await lists(engine, {}, tree);
  },

  "a prefix names what lies below it, and neither itself nor its siblings": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { prefix: ["a"] }, [
      ["a", 1],
      ["a", 1, "x"],
      ["a", 2],
      ["a", 10],
    ]);
    await lists(engine, { prefix: ["a", 1] }, [["a", 1, "x"]]);
    await lists(engine, { prefix: ["a", 1, "x"] }, []);
    await lists(engine, { prefix: ["missing"] }, []);
  },

  "a range holds its start and what follows, but not its end": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { start: ["a", 2] }, tree.slice(3));
    await lists(engine, { end: ["a", 2] }, tree.slice(0, 3));
    await lists(engine, { start: ["a", 1], end: ["b"] }, tree.slice(1, 6));
    await lists(engine, { start: ["a", 3], end: ["aa"] }, [["a", 10]]);
  },

  "after names what follows a key, what begins with it included": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { after: ["a", 1] }, tree.slice(2));
    await lists(engine, { after: ["a", 1], end: ["a", 10] }, [
      ["a", 1, "x"],
      ["a", 2],
    ]);
    await lists(engine, { after: ["c", true] }, []);
  },

  "a prefix and bounds hold together": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { prefix: ["a"], start: ["a", 2] }, [
      ["a", 2],
      ["a", 10],
    ]);
    await lists(engine, { prefix: ["a"], after: ["a", 2] }, [["a", 10]]);
    await lists(engine, { prefix: ["a"], end: ["a", 2] }, [
      ["a", 1],
      ["a", 1, "x"],
    ]);
    await lists(engine, { prefix: ["a"], start: ["b"] }, []);
    await lists(engine, { prefix: ["b"], end: ["a", 10] }, []);
  },

  "the range of one key holds that key alone": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { key: ["a", 1] }, [["a", 1]]);
    await lists(engine, { key: ["a", 3] }, []);
  },

  "a range whose start is at or after its end is empty": async ({ engine }) => {
    await plant(engine);
    await lists(engine, { start: ["a", 2], end: ["a", 2] }, []);
    await lists(engine, { start: ["b"], end: ["a"] }, []);
    await lists(engine, { after: ["a", 2], end: ["a", 2] }, []);
  },

  "a limit gives the first entries, reversed the last": async ({ engine }) => {
    await plant(engine);
    assert.deepEqual(await listKeys(engine, {}, { limit: 2 }), tree.slice(0, 2));
    assert.deepEqual(await listKeys(engine, {}, { limit: 2, reverse: true }), tree.toReversed().slice(0, 2));
    assert.deepEqual(await listKeys(engine, {}, { limit: 0 }), []);
    assert.deepEqual(await listKeys(engine, {}, { limit: tree.length }), tree);
    assert.deepEqual(await listKeys(engine, {}, { limit: 1000 }), tree);
  },

  "entries of a list carry value and version as get gives them": async ({ engine }) => {
    await plant(engine);
    await engine.kv.set(["b"], "later", { ttl: "1h" });
    for (const { ttl, ...entry } of await listAll(engine, {})) {
      const { ttl: left, ...same } = (await engine.kv.get(entry.key)) ?? {};
      assert.deepEqual(entry, same);
      assert.equal(ttl === undefined, left === undefined);
    }
  },
});

const pages = facts("kv", {
  "a list of several pages gives every entry once, both ways": async ({ engine }) => {
    const count = engine.limits.listEntries * 2 + 7;
    await fill(
      engine,
      numbers(count).map((i) => ["n", i]),
    );
    assert.deepEqual(await listValues(engine, { prefix: ["n"] }), numbers(count));
    assert.deepEqual(await listValues(engine, { prefix: ["n"] }, { reverse: true }), numbers(count).toReversed());
  },

  "a limit holds at, below and above the end of a page": async ({ engine }) => {
    const page = engine.limits.listEntries;
    await fill(
      engine,
      numbers(page + 2).map((i) => ["n", i]),
    );
    for (const limit of [page - 1, page, page + 1, page + 2, page + 3]) {
      const expected = Math.min(limit, page + 2);
      assert.equal((await listKeys(engine, { prefix: ["n"] }, { limit })).length, expected);
      assert.equal((await listKeys(engine, { prefix: ["n"] }, { limit, reverse: true })).length, expected);
    }
  },

  "a range that ends exactly with a page ends": async ({ engine }) => {
    const page = engine.limits.listEntries;
    await fill(
      engine,
      numbers(page + 1).map((i) => ["n", i]),
    );
    assert.equal((await listKeys(engine, { prefix: ["n"], end: ["n", page] })).length, page);
    assert.equal((await listKeys(engine, { prefix: ["n"], after: ["n", 0] }, { reverse: true })).length, page);
  },

  "a list during writes gives what is present throughout exactly once": async ({ engine, other, chance, runtime }) => {
    const count = engine.limits.listEntries + 50;
    const stable = numbers(count).map((i) => ["n", i * 2]);
    await fill(engine, stable);
    const list = async (reverse: boolean) => {
      const found = (await listAll(engine, { prefix: ["n"] }, { reverse })).filter(({ value }) => value !== "passing");
      assert.deepEqual(
        found.map(({ key }) => key),
        reverse ? stable.toReversed() : stable,
      );
    };
    await during(
      runtime,
      repeat(4, (round) => list(round % 2 === 0)),
      async () => {
        const key = ["n", chance.below(count) * 2 + 1];
        await (chance.hits(0.5) ? other.kv.set(key, "passing") : other.kv.delete(key));
      },
    );
  },

  "a list that is left early can be followed by others": async ({ engine }) => {
    await fill(
      engine,
      numbers(5).map((i) => ["n", i]),
    );
    for await (const { value } of engine.kv.list({ prefix: ["n"] })) if (value === 1) break;
    const [first, second] = [engine.kv.list({ prefix: ["n"] }), engine.kv.list({ prefix: ["n"] })];
    assert.equal((await first.next()).value?.value, 0);
    assert.equal((await second.next()).value?.value, 0);
    assert.equal((await first.next()).value?.value, 1);
    await first.return?.();
    assert.equal((await first.next()).done, true);
    assert.equal((await second.next()).value?.value, 1);
    await second.return?.();
  },
});

const aborting = facts("kv", {
  "a read whose signal is aborted fails with the reason": async ({ engine }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => engine.kv.get(["k"], { signal }));
    await failsBy(reason, () => engine.kv.getMany([["k"]], { signal }));
    await failsBy(reason, () => Array.fromAsync(engine.kv.list({}, { signal })));
    await failsBy(reason, () => engine.now({ signal }));
  },

  "a list whose signal aborts between pages fails with the reason": async ({ engine }) => {
    await fill(
      engine,
      numbers(engine.limits.listEntries + 1).map((i) => ["n", i]),
    );
    const controller = new AbortController();
    const reason = new Error("seen enough");
    let seen = 0;
    await failsBy(reason, async () => {
      for await (const _ of engine.kv.list({ prefix: ["n"] }, { signal: controller.signal })) {
        if (++seen === 1) controller.abort(reason);
      }
    });
    assert.ok(seen >= 1 && seen <= engine.limits.listEntries, `${seen} entries after the abort`);
  },

  "the engine's clock goes on, near the time of this machine or of its server": {
    guarantee: "clock",
    run: async ({ engine, eventually }) => {
      const begin = await engine.now();
      assert.ok(Number.isFinite(begin) && begin > 1.6e12, `now is ${begin}`);
      await eventually("a later time", async () => (await engine.now()) > begin);
    },
  },
});

export const kvFacts = [...reading, ...ranges, ...pages, ...aborting];
