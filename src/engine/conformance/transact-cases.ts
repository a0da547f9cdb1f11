import assert from "node:assert/strict";
import type { Transaction } from "../contract.ts";
import { fill, getValue, listKeys, listValues, numbers } from "./entries.ts";
import { abortedSignal, failsBy, failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

async function keysOf(tx: Transaction, ...list: Parameters<Transaction["list"]>): Promise<unknown[]> {
  return (await Array.fromAsync(tx.list(...list))).map(({ key }) => key.at(-1));
}

const basics = facts("transact", {
  "a transaction gives what its function gives, and writes all or nothing": async ({ engine, topic }) => {
    await engine.kv.set(["gone"], 1);
    const result = await engine.transact(async (tx) => {
      tx.set(["a"], 1);
      tx.delete(["gone"]);
      tx.add(["sum"], 2);
      tx.append(topic("t"), ["record"]);
      assert.equal(await getValue(engine, ["a"]), undefined, "nothing is seen before the commit");
      return "result";
    });
    assert.equal(result, "result");
    assert.deepEqual(await listKeys(engine, {}), [["a"], ["sum"]]);
    assert.equal((await engine.log.read("t"))[0]?.value, "record");
    const versions = (await engine.kv.getMany([["a"], ["sum"]])).map((entry) => entry?.version);
    assert.equal(versions[0], versions[1]);
  },

  "a function may be synchronous, and may do nothing": async ({ engine }) => {
    assert.equal(await engine.transact(() => 42), 42);
    assert.equal(await engine.transact((tx) => tx.attempt), 1);
    assert.equal(await engine.transact(() => undefined), undefined);
  },

  "reads see the store": async ({ engine }) => {
    await fill(engine, [["a"], ["r", 1], ["r", 2], ["r", 3]]);
    await engine.transact(async (tx) => {
      assert.equal(await tx.get(["a"]), 0);
      assert.equal(await tx.get(["missing"]), undefined);
      assert.deepEqual(await tx.getMany([["r", 2], ["missing"], ["a"], ["r", 2]]), [2, undefined, 0, 2]);
      assert.deepEqual(await tx.getMany([]), []);
      assert.deepEqual(await Array.fromAsync(tx.list({ prefix: ["r"] }, { limit: 2 })), [
        { key: ["r", 1], value: 1 },
        { key: ["r", 2], value: 2 },
      ]);
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }, { reverse: true }), [3, 2, 1]);
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }, { limit: 0 }), []);
    });
  },

  "reads see the transaction's own writes": async ({ engine }) => {
    await engine.kv.commit({
      mutations: [
        { set: ["stored"], value: 1 },
        { set: ["sum"], value: 10 },
      ],
    });
    await engine.transact(async (tx) => {
      tx.set(["stored"], 2);
      tx.set(["new"], "new");
      tx.add(["sum"], 5);
      tx.add(["fresh"], 1);
      assert.deepEqual(await tx.getMany([["stored"], ["new"], ["sum"], ["fresh"]]), [2, "new", 15, 1]);
      tx.delete(["stored"]);
      tx.delete(["new"]);
      assert.deepEqual(await tx.getMany([["stored"], ["new"]]), [undefined, undefined]);
      tx.set(["new"], "again");
      assert.equal(await tx.get(["new"]), "again");
    });
    assert.deepEqual(await listValues(engine, {}), [1, "again", 15]);
  },

  "lists see the transaction's own writes, in order, both ways, within the limit": async ({ engine }) => {
    await fill(
      engine,
      numbers(8).map((i) => ["r", i * 10]),
    );
    await engine.transact(async (tx) => {
      tx.set(["r", 15], "new");
      tx.set(["r", 20], "changed");
      tx.delete(["r", 0]);
      tx.delete(["r", 30]);
      tx.delete(["r", 70]);
      tx.set(["r", 75], "last");
      tx.add(["r", 40], 100);
      tx.set(["elsewhere"], 0);
      const all = [10, 15, 20, 40, 50, 60, 75];
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }), all);
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }, { reverse: true }), all.toReversed());
      for (const limit of numbers(9)) {
        assert.deepEqual(await keysOf(tx, { prefix: ["r"] }, { limit }), all.slice(0, limit));
        assert.deepEqual(
          await keysOf(tx, { prefix: ["r"] }, { limit, reverse: true }),
          all.toReversed().slice(0, limit),
        );
      }
      assert.deepEqual(await keysOf(tx, { start: ["r", 15], end: ["r", 40] }), [15, 20]);
      const values = (await Array.fromAsync(tx.list({ prefix: ["r"], end: ["r", 50] }))).map(({ value }) => value);
      assert.deepEqual(values, [1, "new", "changed", 104]);
    });
  },

  "a list of several pages in a transaction gives every entry once": async ({ engine }) => {
    const count = Math.min(engine.limits.listEntries * 2 + 3, engine.limits.operations - 2);
    await fill(
      engine,
      numbers(count).map((i) => ["r", i]),
    );
    await engine.transact(async (tx) => {
      tx.delete(["r", 1]);
      tx.set(["r", count], "own");
      const expected = numbers(count + 1).filter((i) => i !== 1);
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }), expected);
      assert.deepEqual(await keysOf(tx, { prefix: ["r"] }, { limit: count - 1 }), expected.slice(0, count - 1));
      return tx.attempt;
    });
  },

  "a value is encoded when it is given": async ({ engine }) => {
    await engine.transact(async (tx) => {
      const value = { list: [1] };
      tx.set(["k"], value);
      value.list.push(2);
      const read = await tx.get<{ list: number[] }>(["k"]);
      assert.deepEqual(read, { list: [1] });
      read?.list.push(3);
      assert.deepEqual(await tx.get(["k"]), { list: [1] });
    });
    assert.deepEqual(await getValue(engine, ["k"]), { list: [1] });
  },
});

const results = facts("transact", {
  "sums and offsets are known after the commit, and not before": async ({ engine, topic }) => {
    await engine.kv.set(["sum"], 5);
    await engine.log.append(topic("t"), ["before"]);
    const [sum, offset] = await engine.transact(async (tx) => {
      const later = [tx.add(["sum"], 2), tx.append("t", ["x", "y"])] as const;
      for (const result of later) await failsWith("INVALID_STATE", () => result.value);
      return later;
    });
    assert.deepEqual([sum.value, offset.value], [7, 1]);
  },

  "several adds and appends to the same target each have their result": async ({ engine, topic }) => {
    const later = await engine.transact((tx) => [
      tx.add(["sum"], 1),
      tx.append(topic("t"), ["a", "b"]),
      tx.add(["sum"], 10),
      tx.append("t", ["c"]),
      tx.append(["t"], ["d"]),
    ]);
    assert.deepEqual(
      later.map(({ value }) => value),
      [1, 0, 11, 2, 3],
    );
    assert.equal(await getValue(engine, ["sum"]), 11);
    assert.deepEqual(
      (await engine.log.read("t")).map(({ value }) => value),
      ["a", "b", "c", "d"],
    );
  },

  "an add follows what the transaction did to the key before": async ({ engine }) => {
    await engine.kv.commit({ mutations: ["set", "deleted"].map((name) => ({ set: [name], value: 100 })) });
    const later = await engine.transact((tx) => {
      tx.set(["set"], 5);
      tx.delete(["deleted"]);
      return [tx.add(["set"], 1), tx.add(["deleted"], 1)];
    });
    assert.deepEqual(
      later.map(({ value }) => value),
      [6, 1],
    );
    assert.deepEqual(await listValues(engine, {}), [1, 6]);
  },

  "an add above its ceiling fails the transaction": async ({ engine }) => {
    await engine.kv.set(["sum"], 9);
    const add = (delta: number) =>
      engine.transact((tx) => {
        tx.set(["written"], delta);
        return tx.add(["sum"], delta, { ceiling: 10 });
      });
    const error = await failsWith("CONFLICT", () => add(2), "11", "10");
    assert.equal(error.details["reason"], "ceiling");
    assert.equal(await getValue(engine, ["written"]), undefined);
    assert.equal((await add(1)).value, 10);
  },

  "an add to what is no integer fails the transaction": async ({ engine }) => {
    await engine.kv.set(["text"], "text");
    await failsWith("INVALID_STATE", () => engine.transact((tx) => tx.add(["text"], 1)));
  },

  "an add with bounds on the clock works in a transaction": async ({ engine }) => {
    const before = Math.floor(await engine.now());
    const sum = await engine.transact((tx) =>
      tx.add(["k"], 1, { floor: { clock: "ms" }, ceiling: { clock: "ms", plus: 1 } }),
    );
    assert.ok(sum.value > before);
  },
});

const failures = facts("transact", {
  "a function that throws writes nothing, and its error is passed on": async ({ engine, topic }) => {
    await engine.kv.set(["k"], 1);
    for (const error of [new Error("no"), "a string", undefined]) {
      await failsBy(error, () =>
        engine.transact(async (tx) => {
          tx.set(["k"], (await tx.get(["missing"])) ?? 2);
          tx.append(topic("t"), [1]);
          throw error;
        }),
      );
      await failsBy(error, () =>
        engine.transact((tx) => {
          tx.delete(["k"]);
          throw error;
        }),
      );
    }
    assert.equal(await getValue(engine, ["k"]), 1);
    assert.equal((await engine.log.bounds("t")).next, 0);
  },

  "a transaction inside another is refused": async ({ engine }) => {
    for (const inner of [engine, engine.scope("inner")]) {
      await failsWith("INVALID_STATE", () =>
        engine.transact(async (tx) => {
          tx.set(["outer"], 1);
          await inner.transact((nested) => nested.set(["inner"], 1));
        }),
      );
    }
    assert.deepEqual(await listKeys(engine, {}), []);
    await engine.transact((tx) => tx.set(["outer"], 1));
    await engine.transact((tx) => tx.set(["outer"], 2));
    assert.equal(await getValue(engine, ["outer"]), 2);
  },

  "a transaction is not to be used after its end": async ({ engine }) => {
    let kept: Transaction | undefined;
    let list: AsyncIterator<unknown> | undefined;
    await fill(engine, [
      ["r", 1],
      ["r", 2],
    ]);
    await engine.transact(async (tx) => {
      kept = tx;
      list = tx.list({ prefix: ["r"] });
      await list.next();
    });
    const tx = kept as Transaction;
    const uses: (() => unknown)[] = [
      () => tx.get(["k"]),
      () => tx.getMany([["k"]]),
      () => Array.fromAsync(tx.list({})),
      () => list?.next(),
      () => tx.set(["k"], 1),
      () => tx.delete(["k"]),
      () => tx.add(["k"], 1),
      () => tx.append("t", [1]),
    ];
    for (const use of uses) await failsWith("INVALID_STATE", use);
    assert.deepEqual(await listKeys(engine, {}), [
      ["r", 1],
      ["r", 2],
    ]);
  },

  "a deadline ends the transaction, and nothing of it is applied": async ({ engine, soon }) => {
    let signal: AbortSignal | undefined;
    const stuck = engine.transact(
      (tx) => {
        tx.set(["k"], 1);
        signal = tx.signal;
        return new Promise<void>(() => {});
      },
      { deadline: 50 },
    );
    const error = await failsWith("TIMEOUT", () => soon("the deadline", stuck));
    assert.equal(error.definite, true);
    assert.equal(signal?.aborted, true);
    assert.equal(await engine.kv.get(["k"]), undefined);
  },

  "an abort ends the transaction with its reason, and nothing of it is applied": async ({ engine, soon }) => {
    const controller = new AbortController();
    const reason = new Error("not any more");
    let seen: AbortSignal | undefined;
    const stuck = engine.transact(
      (tx) => {
        tx.set(["k"], 1);
        seen = tx.signal;
        assert.equal(tx.signal.aborted, false);
        controller.abort(reason);
        return new Promise<void>(() => {});
      },
      { signal: controller.signal },
    );
    await failsBy(reason, () => soon("the abort", stuck));
    assert.equal(seen?.reason, reason);
    assert.equal(await engine.kv.get(["k"]), undefined);
  },

  "a transaction whose signal is aborted does not run": async ({ engine }) => {
    const { signal, reason } = abortedSignal();
    let runs = 0;
    await failsBy(reason, () => engine.transact(() => runs++, { signal }));
    assert.equal(runs, 0);
  },

  "conflicts use the attempts up": async ({ engine, other }) => {
    await engine.kv.set(["k"], 0);
    const attempts: number[] = [];
    const hopeless = () =>
      engine.transact(
        async (tx) => {
          attempts.push(tx.attempt);
          tx.set(["result"], await tx.get(["k"]));
          await other.kv.add(["k"], 1);
        },
        { attempts: 3 },
      );
    await failsWith("CONFLICT", hopeless, "3");
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.equal(await engine.kv.get(["result"]), undefined);
  },

  "conflicts use the deadline up": async ({ engine, other, soon }) => {
    await engine.kv.set(["k"], 0);
    const hopeless = engine.transact(
      async (tx) => {
        tx.set(["result"], await tx.get(["k"]));
        await other.kv.add(["k"], 1);
      },
      { attempts: 1_000_000, deadline: 100 },
    );
    const error = await soon(
      "the deadline",
      failsWith("TIMEOUT", () => hopeless),
    );
    assert.equal(error.definite, true);
    assert.equal(await engine.kv.get(["result"]), undefined);
  },
});

const sql = facts("transact", {
  "SQL is refused by an engine that has none": {
    guarantee: "sql",
    needs: ({ guarantees }) => (guarantees.sql ? "the engine has SQL" : undefined),
    run: async ({ engine }) => {
      await failsWith("UNSUPPORTED", () => engine.transact((tx) => tx.sql.run("select 1")));
      await failsWith("UNSUPPORTED", () => engine.transact((tx) => tx.sql.all("select 1")));
    },
  },

  "SQL of one's own commits with the transaction, or not at all": {
    guarantee: "sql",
    needs: ({ guarantees }) => (guarantees.sql ? undefined : "the engine has no SQL"),
    run: async ({ engine, other, chance, defer }) => {
      const table = `conformance_${chance.below(1e9)}`;
      const count = `select count(*) as n from ${table}`;
      const rows = async () => Number((await other.transact((tx) => tx.sql.all<{ n: unknown }>(count)))[0]?.n);
      await engine.transact((tx) => tx.sql.run(`create table ${table} (n integer)`));
      defer(() => engine.transact((tx) => tx.sql.run(`drop table ${table}`)));
      const insert = (tx: Transaction) => tx.sql.run(`insert into ${table} values (1), (2)`);
      await engine.transact(async (tx) => {
        tx.set(["k"], 1);
        assert.deepEqual(await insert(tx), { changes: 2 });
        assert.equal(Number((await tx.sql.all<{ n: unknown }>(count))[0]?.n), 2);
      });
      assert.deepEqual([await rows(), await getValue(engine, ["k"])], [2, 1]);
      const error = new Error("no");
      await failsBy(error, () =>
        engine.transact(async (tx) => {
          tx.set(["k"], 2);
          await insert(tx);
          throw error;
        }),
      );
      assert.deepEqual([await rows(), await getValue(engine, ["k"])], [2, 1]);
      await engine.transact(async (tx) => {
        const seen = await tx.get<number>(["k"]);
        // Before the SQL transaction begins: from then on an engine may keep other writers waiting.
        if (tx.attempt === 1) await other.kv.set(["k"], 10);
        await insert(tx);
        tx.set(["k"], (seen ?? 0) + 1);
      });
      assert.deepEqual([await rows(), await getValue(engine, ["k"])], [4, 11]);
    },
  },
});

export const transactFacts = [...basics, ...results, ...failures, ...sql];
