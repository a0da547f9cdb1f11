import assert from "node:assert/strict";
import type { Key } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { getValue, listAll, listKeys, numbers } from "./entries.ts";
import { type CaseContext, facts } from "./fact.ts";

/** Long enough for a few round trips, short enough to wait for. */
const shortMs = 120;

/** Waits until the engine's clock says that the entry, written before this call with this ttl, has expired. */
async function outlive({ eventually }: CaseContext, engine: Engine, ttlMs: number): Promise<void> {
  const expired = (await engine.now()) + ttlMs;
  await eventually("the end of a ttl on the engine's clock", async () => (await engine.now()) > expired);
}

/** The milliseconds left, which must be within these bounds. */
async function leftOf(engine: Engine, key: Key, atLeast: number, atMost: number): Promise<void> {
  const ttl = (await engine.kv.get(key))?.ttl;
  assert.ok(
    ttl !== undefined && ttl > atLeast && ttl <= atMost,
    `${ttl} ms are left, expected ${atLeast} to ${atMost}`,
  );
}

const hour = 3_600_000;

const lifetimes = facts("ttl", {
  "an entry tells how long it has to live, and one without ttl does not": async ({ engine }) => {
    await engine.kv.set(["hours"], 1, { ttl: "2h" });
    await engine.kv.set(["number"], 1, { ttl: hour });
    await engine.kv.set(["forever"], 1);
    await leftOf(engine, ["hours"], hour, 2 * hour);
    await leftOf(engine, ["number"], hour / 2, hour);
    assert.ok(!("ttl" in ((await engine.kv.get(["forever"])) as object)));
    const listed = await listAll(engine, {});
    assert.deepEqual(
      listed.map(({ ttl }) => ttl !== undefined),
      [false, true, true],
    );
    const many = await engine.kv.getMany([["hours"], ["forever"]]);
    assert.deepEqual(
      many.map((entry) => entry?.ttl !== undefined),
      [true, false],
    );
  },

  "a ttl may be very long, and a fraction of a millisecond": async ({ engine, eventually }) => {
    await engine.kv.set(["k"], 1, { ttl: "3650d" });
    await leftOf(engine, ["k"], 3649 * 24 * hour, 3650 * 24 * hour);
    await engine.kv.set(["k"], 1, { ttl: 0.25 });
    await eventually("the end of a moment", async () => (await engine.kv.get(["k"])) === undefined);
  },

  "an entry lives as long as its ttl, and not longer, on the engine's clock": {
    guarantee: "clock",
    run: async ({ engine, other, eventually }) => {
      const before = await engine.now();
      await engine.kv.set(["k"], 1, { ttl: shortMs });
      const after = await engine.now();
      await eventually("the end of the entry", async () => {
        const begun = await other.now();
        const entry = await other.kv.get(["k"]);
        // Whole milliseconds on either side of the clock.
        if (entry) assert.ok(begun <= after + shortMs + 2, `still there ${begun - after} ms after the commit`);
        else assert.ok((await other.now()) >= before + shortMs - 2, "gone before its time");
        return entry === undefined;
      });
    },
  },

  "setting again begins a new life": async (context) => {
    const { engine } = context;
    await engine.kv.commit({
      mutations: ["cleared", "longer"].map((name) => ({ set: [name], value: 1, ttl: shortMs })),
    });
    await engine.kv.set(["cleared"], 2);
    await engine.kv.set(["longer"], 2, { ttl: "1h" });
    await outlive(context, engine, shortMs);
    assert.deepEqual(await listKeys(engine, {}), [["cleared"], ["longer"]]);
    assert.ok(!("ttl" in ((await engine.kv.get(["cleared"])) as object)));
    await leftOf(engine, ["longer"], hour / 2, hour);
  },

  "an add keeps the expiry that there is, unless it brings its own": async (context) => {
    const { engine } = context;
    await engine.kv.commit({
      mutations: [
        { set: ["kept"], value: 1, ttl: "1h" },
        { set: ["forever"], value: 1 },
        { set: ["short"], value: 1, ttl: shortMs },
      ],
    });
    await engine.kv.commit({
      mutations: [
        { add: ["kept"], delta: 1 },
        { add: ["forever"], delta: 1 },
        { add: ["new"], delta: 1 },
      ],
    });
    await engine.kv.commit({
      mutations: [
        { add: ["short"], delta: 1, ttl: "2h" },
        { add: ["born"], delta: 1, ttl: "2h" },
      ],
    });
    await leftOf(engine, ["kept"], hour / 2, hour);
    await leftOf(engine, ["short"], hour, 2 * hour);
    await leftOf(engine, ["born"], hour, 2 * hour);
    const without = await engine.kv.getMany([["forever"], ["new"]]);
    assert.deepEqual(
      without.map((entry) => entry && "ttl" in entry),
      [false, false],
    );
    await engine.kv.add(["kept"], 1, { ttl: shortMs });
    await outlive(context, engine, shortMs);
    assert.deepEqual(await listKeys(engine, {}), [["born"], ["forever"], ["new"], ["short"]]);
  },
});

const expiry = facts("ttl", {
  "an expired entry is absent to every read": async (context) => {
    const { engine, other } = context;
    await engine.kv.commit({
      mutations: numbers(10).map((i) => ({ set: ["n", i], value: i, ...(i % 2 === 0 && { ttl: shortMs }) })),
    });
    await outlive(context, engine, shortMs);
    const odd = [1, 3, 5, 7, 9];
    for (const client of [engine, other]) {
      assert.equal(await client.kv.get(["n", 0]), undefined);
      const many = await client.kv.getMany(numbers(10).map((i) => ["n", i]));
      assert.deepEqual(
        many.flatMap((entry) => (entry ? [entry.value] : [])),
        odd,
      );
      const values = async (limit?: number, reverse?: boolean) =>
        (await listAll(client, { prefix: ["n"] }, { ...(limit && { limit }), reverse: reverse ?? false })).map(
          ({ value }) => value,
        );
      assert.deepEqual(await values(), odd);
      assert.deepEqual(await values(3), [1, 3, 5], "a limit counts what lives");
      assert.deepEqual(await values(2, true), [9, 7]);
      assert.equal(await client.transact((tx) => tx.get(["n", 2])), undefined);
    }
  },

  "an expired entry is absent to checks": async (context) => {
    const { engine } = context;
    const { version } = await engine.kv.set(["k"], 1, { ttl: shortMs });
    await outlive(context, engine, shortMs);
    const refused = { ok: false, refusal: { reason: "check", check: 0 } };
    assert.deepEqual(await engine.kv.tryCommit({ checks: [{ key: ["k"], version }] }), refused);
    const range = { prefix: [] };
    assert.deepEqual(await engine.kv.tryCommit({ checks: [{ range, entries: [{ key: ["k"], version }] }] }), refused);
    assert.deepEqual(await engine.kv.tryCommit({ checks: [{ key: ["k"], present: true }] }), refused);
    const late = { checks: [{ key: ["k"], present: true as const }], mutations: [{ set: ["late"], value: 1 }] };
    assert.deepEqual(await engine.kv.tryCommit(late), refused);
    const absent = await engine.kv.tryCommit({
      checks: [
        { key: ["k"], version: undefined },
        { range, entries: [] },
      ],
      mutations: [{ set: ["k"], value: 2 }],
    });
    assert.equal(absent.ok, true);
    assert.equal(await getValue(engine, ["k"]), 2);
  },

  "an expired entry is absent to add: the sum begins anew, and stays": async (context) => {
    const { engine } = context;
    await engine.kv.commit({
      mutations: [
        { set: ["sum"], value: 100, ttl: shortMs },
        { set: ["text"], value: "x", ttl: shortMs },
      ],
    });
    await outlive(context, engine, shortMs);
    assert.equal(await engine.kv.add(["sum"], 1, { ceiling: 1 }), 1);
    assert.equal(await engine.kv.add(["text"], 1), 1);
    const found = await engine.kv.getMany([["sum"], ["text"]]);
    assert.deepEqual(
      found.map((entry) => entry && "ttl" in entry),
      [false, false],
    );
  },

  "a key that expired and was written again has another version": async (context) => {
    const { engine } = context;
    const first = await engine.kv.set(["k"], 1, { ttl: shortMs });
    await outlive(context, engine, shortMs);
    const second = await engine.kv.set(["k"], 1);
    assert.notEqual(first.version, second.version);
    assert.equal((await engine.kv.get(["k"]))?.version, second.version);
  },

  "a transaction whose reads have expired meanwhile runs again": async (context) => {
    const { engine } = context;
    // Surely not expired before the transaction reads it.
    const ttl = 4 * shortMs;
    await engine.kv.set(["k"], 1, { ttl });
    const seen: unknown[] = [];
    await engine.transact(async (tx) => {
      seen.push(await tx.get(["k"]));
      if (tx.attempt === 1) await outlive(context, engine, ttl);
      tx.set(["seen"], seen.length);
    });
    assert.deepEqual(seen, [1, undefined]);
  },

  "a ttl in a transaction counts from its commit": async ({ engine }) => {
    await engine.transact((tx) => {
      tx.set(["set"], 1, { ttl: "1h" });
      tx.add(["add"], 1, { ttl: hour });
    });
    await leftOf(engine, ["set"], hour / 2, hour);
    await leftOf(engine, ["add"], hour / 2, hour);
  },
});

export const ttlFacts = [...lifetimes, ...expiry];
