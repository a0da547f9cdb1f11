import assert from "node:assert/strict";
import { getValue } from "./entries.ts";
import { failsBy, failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

export const beginFacts = facts("transact", {
  "a transaction that its owner ends applies everything at its commit, and nothing before": async ({
    engine,
    other,
  }) => {
    await engine.kv.set(["n"], 1);
    await using open = engine.begin();
    assert.equal(open.touched, false);
    open.tx.set(["n"], ((await open.tx.get<number>(["n"])) ?? 0) + 1);
    const sum = open.tx.add(["sum"], 5);
    const offset = open.tx.append("topic", ["a", "b"]);
    engine.scope("inner").join(open.tx).set(["k"], "v");
    assert.deepEqual([open.touched, await getValue(other, ["n"])], [true, 1]);
    assert.equal(open.version, undefined);
    assert.equal(await open.commit(), true);
    assert.equal(open.version, (await other.kv.get(["n"]))?.version);
    assert.deepEqual(
      [await getValue(other, ["n"]), sum.value, offset.value, await getValue(other.scope("inner"), ["k"])],
      [2, 5, 0, "v"],
    );
  },

  "a transaction that its owner ends applies nothing if what it read has changed": async ({ engine, other }) => {
    await engine.kv.set(["a"], 1);
    await using open = engine.begin();
    await open.tx.get(["a"]);
    open.tx.set(["b"], 2);
    await other.kv.set(["a"], 3);
    assert.equal(await open.commit(), false);
    assert.equal(await getValue(engine, ["b"]), undefined);
    await using ranged = engine.begin();
    await Array.fromAsync(ranged.tx.list({ prefix: ["range"] }));
    ranged.tx.set(["b"], 2);
    await other.kv.set(["range", 1], 1);
    assert.equal(await ranged.commit(), false);
    await using blind = engine.begin();
    blind.tx.set(["b"], 2);
    assert.equal(await blind.commit(), true);
  },

  "a check of a transaction that its owner ends may have an error of its own": async ({ engine }) => {
    const lost = new Error("lost");
    const guarded = () => {
      const open = engine.begin();
      open.tx.check({ key: ["mine"], present: true }, { otherwise: () => lost });
      open.tx.set(["effect"], 1);
      return open.commit();
    };
    await failsBy(lost, guarded);
    assert.equal(await getValue(engine, ["effect"]), undefined);
    await engine.kv.set(["mine"], 1);
    assert.equal(await guarded(), true);
  },

  "a transaction that was rolled back or left leaves nothing, and is not usable afterwards": async ({ engine }) => {
    const left = engine.begin();
    left.tx.set(["k"], 1);
    await left.rollback();
    await left.rollback();
    await failsWith("INVALID_STATE", async () => left.tx.set(["k"], 2));
    await failsWith("INVALID_STATE", () => left.commit());
    {
      await using scoped = engine.begin();
      scoped.tx.set(["k"], 3);
    }
    assert.equal(await getValue(engine, ["k"]), undefined);
    const done = engine.begin();
    done.tx.set(["k"], 4);
    await done.commit();
    await failsWith("INVALID_STATE", () => done.tx.get(["k"]));
    await failsWith("INVALID_STATE", () => done.commit());
  },

  "adds to one ceiling may be made one by one in a transaction, and hold or fail together": async ({ engine }) => {
    const [first, second] = await engine.transact((tx) => {
      const ceiling = { ceiling: 3 };
      return [tx.add(["n"], 1, ceiling), tx.add(["n"], 1, ceiling)] as const;
    });
    assert.deepEqual([first.value, second.value], [1, 2]);
    const more = engine.transact((tx) => {
      tx.add(["n"], 1, { ceiling: 3 });
      tx.add(["n"], 1, { ceiling: 3 });
    });
    await failsWith("CONFLICT", () => more);
    assert.equal(await getValue(engine, ["n"]), 2);
    const different = engine.transact((tx) => {
      tx.add(["n"], 1, { ceiling: 3 });
      tx.add(["n"], 1, { ceiling: 4 });
    });
    await failsWith("INVALID_STATE", () => different);
  },

  "other transactions go on while one is open": async ({ engine }) => {
    await using open = engine.begin();
    open.tx.set(["outer"], 1);
    await engine.transact((tx) => tx.set(["inner"], 1));
    assert.deepEqual([await getValue(engine, ["inner"]), await getValue(engine, ["outer"])], [1, undefined]);
    assert.equal(await open.commit(), true);
    assert.equal(await getValue(engine, ["outer"]), 1);
  },

  "the signal of an open transaction ends its reads, and a commit with an aborted signal applies nothing": async ({
    engine,
  }) => {
    const reason = new Error("enough");
    await using open = engine.begin({ signal: AbortSignal.abort(reason) });
    await failsBy(reason, () => open.tx.get(["k"]));
    await using late = engine.begin();
    late.tx.set(["k"], 1);
    await failsBy(reason, () => late.commit({ signal: AbortSignal.abort(reason) }));
    assert.equal(await getValue(engine, ["k"]), undefined);
  },
});
