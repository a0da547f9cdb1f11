import assert from "node:assert/strict";
import type { KeyRange } from "../../core/index.ts";
import type { Batch, Engine, Entry, RangeCheck } from "../contract.ts";
import { refusesCheck } from "./commit-cases.ts";
import { fill, listAll, numbers } from "./entries.ts";
import { facts } from "./fact.ts";

const below: KeyRange = { prefix: ["r"] };

async function plant(engine: Engine): Promise<void> {
  await fill(engine, [["q"], ["r", 10], ["r", 20], ["r", 30], ["s"]]);
}

/** A check that the range is as a list gives it now. */
async function remember(engine: Engine, range: KeyRange): Promise<RangeCheck> {
  return { range, entries: await checkable(engine, range) };
}

async function checkable(engine: Engine, range: KeyRange): Promise<Pick<Entry, "key" | "version">[]> {
  return (await listAll(engine, range)).map(({ key, version }) => ({ key, version }));
}

async function holds(engine: Engine, check: RangeCheck): Promise<void> {
  assert.deepEqual((await engine.kv.tryCommit({ checks: [check] })).ok, true, JSON.stringify(check.range));
}

async function fails(engine: Engine, check: RangeCheck): Promise<void> {
  await refusesCheck(engine, { checks: [check] });
}

/** What changes a range, one thing at a time. */
const changes: Readonly<Record<string, (engine: Engine) => Promise<unknown>>> = {
  "a new entry before the others": (engine) => engine.kv.set(["r", 5], 0),
  "a new entry between the others": (engine) => engine.kv.set(["r", 25], 0),
  "a new entry after the others": (engine) => engine.kv.set(["r", 35], 0),
  "a new entry below another": (engine) => engine.kv.set(["r", 20, "x"], 0),
  "the first entry deleted": (engine) => engine.kv.delete(["r", 10]),
  "the last entry deleted": (engine) => engine.kv.delete(["r", 30]),
  "an entry overwritten with the same value": (engine) => engine.kv.set(["r", 20], 2),
  "an entry added to": (engine) => engine.kv.add(["r", 20], 0),
  "an entry deleted and written again": async (engine) => {
    await engine.kv.delete(["r", 20]);
    await engine.kv.set(["r", 20], 2);
  },
  "an entry moved": (engine) => engine.kv.commit({ mutations: [{ delete: ["r", 20] }, { set: ["r", 21], value: 2 }] }),
};

export const rangeCheckFacts = facts("range-check", {
  "a range that has not changed holds": async ({ engine, other }) => {
    await plant(engine);
    for (const range of [below, {}, { prefix: [] }, { key: ["r", 20] }, { start: ["r", 15], end: ["s"] }]) {
      await holds(other, await remember(engine, range));
    }
  },

  "an empty range holds while it is empty": async ({ engine }) => {
    await plant(engine);
    const empty: KeyRange[] = [{ prefix: ["none"] }, { key: ["r", 11] }, { start: ["r", 11], end: ["r", 20] }];
    for (const range of empty) await holds(engine, { range, entries: [] });
    await engine.kv.commit({
      mutations: [
        { set: ["none", 1], value: 0 },
        { set: ["r", 11], value: 0 },
      ],
    });
    for (const range of empty) await fails(engine, { range, entries: [] });
  },

  "a range without any key always holds": async ({ engine }) => {
    await plant(engine);
    await holds(engine, { range: { start: ["z"], end: ["a"] }, entries: [] });
  },

  "a range that has changed is refused, whatever the change": async ({ engine, other }) => {
    for (const [what, change] of Object.entries(changes)) {
      await plant(engine);
      const check = await remember(engine, below);
      await holds(engine, check);
      await change(other);
      const { ok } = await engine.kv.tryCommit({ checks: [check] });
      assert.equal(ok, false, `not noticed: ${what}`);
      await engine.kv.commit({ mutations: [5, 21, 25, 35].map((n) => ({ delete: ["r", n] })) });
      await engine.kv.delete(["r", 20, "x"]);
    }
  },

  "changes outside the range do not matter": async ({ engine, other }) => {
    await plant(engine);
    const check = await remember(engine, { start: ["r", 15], end: ["r", 30] });
    await other.kv.commit({
      mutations: [
        { set: ["r", 14], value: 0 },
        { set: ["r", 30], value: 0 },
        { delete: ["r", 10] },
        { set: ["s"], value: 0 },
      ],
    });
    await holds(engine, check);
    const prefix = await remember(engine, { prefix: ["r", 20] });
    await other.kv.set(["r", 20], "the prefix itself");
    await holds(engine, prefix);
  },

  "parts of a range are checked by themselves": async ({ engine }) => {
    await plant(engine);
    const entries = await checkable(engine, below);
    await holds(engine, { range: { prefix: ["r"], end: ["r", 20] }, entries: entries.slice(0, 1) });
    await holds(engine, { range: { prefix: ["r"], after: ["r", 10] }, entries: entries.slice(1) });
    await holds(engine, { range: { prefix: ["r"], start: ["r", 20] }, entries: entries.slice(1) });
    await holds(engine, { range: { key: ["r", 10] }, entries: entries.slice(0, 1) });
    await fails(engine, { range: { prefix: ["r"], end: ["r", 20] }, entries: entries.slice(0, 2) });
    await fails(engine, { range: below, entries: entries.slice(0, 2) });
    await fails(engine, { range: below, entries: entries.slice(1) });
    await fails(engine, { range: below, entries: [] });
    await fails(engine, { range: { key: ["r", 10] }, entries: [] });
  },

  "entries with the versions of others are refused": async ({ engine }) => {
    await plant(engine);
    await engine.kv.set(["r", 20], "later");
    const [first, second, third] = (await checkable(engine, below)) as [Entry, Entry, Entry];
    const swapped = [{ ...first, version: second.version }, { ...second, version: first.version }, third];
    await fails(engine, { range: below, entries: swapped });
  },

  "entries that were never there together are refused": async ({ engine }) => {
    await plant(engine);
    const [first, second] = (await checkable(engine, below)) as [Entry, Entry];
    // The range keeps its number of entries, and its newest one: only a comparison of all of them finds the difference.
    await engine.kv.commit({ mutations: [{ delete: ["r", 20] }, { set: ["r", 15], value: "instead" }] });
    await engine.kv.set(["r", 30], "newest");
    const last = (await checkable(engine, below)).at(-1) as Entry;
    await fails(engine, { range: below, entries: [first, second, last] });
    await holds(engine, await remember(engine, below));
  },

  "a check of a large range notices one change in it": async ({ engine }) => {
    const count = Math.min(engine.limits.operations - 2, engine.limits.listEntries + 50);
    await fill(
      engine,
      numbers(count).map((i) => ["r", i]),
    );
    const check = await remember(engine, below);
    assert.equal(check.entries.length, count);
    await holds(engine, check);
    await engine.kv.set(["r", Math.floor(count / 2)], "changed");
    await fails(engine, check);
  },

  "a range read and changed by two at once is changed by one": async ({ engine, other }) => {
    for (const round of numbers(15)) {
      const range = { prefix: ["race", round] };
      const check = await remember(engine, range);
      const insert = (client: Engine, name: string): Promise<{ ok: boolean }> => {
        const batch: Batch = { checks: [check], mutations: [{ set: ["race", round, name], value: 0 }] };
        return client.kv.tryCommit(batch);
      };
      const outcomes = await Promise.all([
        insert(engine, "a"),
        insert(other, "b"),
        insert(engine, "c"),
        insert(other, "d"),
      ]);
      assert.equal(outcomes.filter(({ ok }) => ok).length, 1);
      assert.equal((await listAll(engine, range)).length, 1);
    }
  },
});
