import assert from "node:assert/strict";
import { InvalidArgumentError } from "../../core/index.ts";
import type { Engine, Transaction } from "../contract.ts";
import { during, repeat } from "./during.ts";
import { fill, getValue, listAll, listKeys, listValues, numbers } from "./entries.ts";
import { failsBy, failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

/** Runs the transaction's reads, lets another client write once between them and the commit, and counts the attempts. */
async function interrupted(
  engine: Engine,
  reads: (tx: Transaction) => Promise<unknown>,
  write: () => Promise<unknown>,
): Promise<number> {
  return await engine.transact(async (tx) => {
    await reads(tx);
    if (tx.attempt === 1) await write();
    tx.set(["written"], tx.attempt);
    return tx.attempt;
  });
}

const drain = async (entries: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of entries);
};

const conflicts = facts("transact", {
  "a transaction runs again when a key that it read has changed": async ({ engine, other }) => {
    await engine.kv.set(["k"], 1);
    const reads: ((tx: Transaction) => Promise<unknown>)[] = [
      (tx) => tx.get(["k"]),
      (tx) => tx.getMany([["x"], ["k"]]),
      (tx) => drain(tx.list({ key: ["k"] })),
    ];
    for (const read of reads) {
      assert.equal(await interrupted(engine, read, () => other.kv.set(["k"], 1)), 2);
      assert.equal(await interrupted(engine, read, () => other.kv.delete(["k"])), 2);
      assert.equal(await interrupted(engine, read, () => other.kv.set(["k"], 1)), 2);
      assert.equal(await interrupted(engine, read, () => other.kv.set(["elsewhere"], 1)), 1);
    }
  },

  "a transaction runs again when something appeared in a range that it read": async ({ engine, other }) => {
    await fill(engine, [
      ["r", 10],
      ["r", 20],
    ]);
    const read = (tx: Transaction) => drain(tx.list({ prefix: ["r"] }));
    for (const key of [5, 15, 25]) assert.equal(await interrupted(engine, read, () => other.kv.set(["r", key], 0)), 2);
    assert.equal(await interrupted(engine, read, () => other.kv.delete(["r", 15])), 2);
    assert.equal(await interrupted(engine, read, () => other.kv.set(["s"], 0)), 1);
    const nothing = (tx: Transaction) => drain(tx.list({ prefix: ["none"] }));
    assert.equal(await interrupted(engine, nothing, () => other.kv.set(["none", 1], 0)), 2);
  },

  "of a range that was read in part, the part counts": async ({ engine, other }) => {
    await fill(
      engine,
      numbers(6).map((i) => ["r", i * 10]),
    );
    const first = (tx: Transaction) => drain(tx.list({ prefix: ["r"] }, { limit: 2 }));
    assert.equal(await interrupted(engine, first, () => other.kv.set(["r", 25], 0)), 1);
    assert.equal(await interrupted(engine, first, () => other.kv.set(["r", 5], 0)), 2);
    assert.equal(await interrupted(engine, first, () => other.kv.set(["r", -5], 0)), 2);
    const last = (tx: Transaction) => drain(tx.list({ prefix: ["r"] }, { limit: 2, reverse: true }));
    assert.equal(await interrupted(engine, last, () => other.kv.set(["r", 35], 0)), 1);
    assert.equal(await interrupted(engine, last, () => other.kv.set(["r", 45], 0)), 2);
    assert.equal(await interrupted(engine, last, () => other.kv.set(["r", 55], 0)), 2);
  },

  "a limit that the own writes fill up still covers what was passed over": async ({ engine, other }) => {
    await fill(
      engine,
      numbers(4).map((i) => ["r", i * 10]),
    );
    const overlaid = async (tx: Transaction) => {
      tx.delete(["r", 0]);
      tx.delete(["r", 10]);
      const [found] = await Array.fromAsync(tx.list({ prefix: ["r"] }, { limit: 1 }));
      assert.ok(found?.key[1] === 20 || tx.attempt === 2);
    };
    assert.equal(await interrupted(engine, overlaid, () => other.kv.set(["r", 15], 0)), 2);
  },

  "a list of several pages that changed behind the reader does not commit": {
    needs: ({ limits }) =>
      limits.operations > limits.listEntries + 20 ? undefined : "a transaction cannot read more than a page",
    run: async ({ engine, other }) => {
      const page = engine.limits.listEntries;
      await fill(
        engine,
        numbers(page + 10).map((i) => ["r", i * 2]),
      );
      const attempts = await engine.transact(async (tx) => {
        let read = 0;
        for await (const _ of tx.list({ prefix: ["r"] })) {
          if (++read !== page - 5 || tx.attempt > 1) continue;
          // The number of entries stays, and the newest of them is read by the next page.
          await other.kv.commit({ mutations: [{ delete: ["r", 4] }, { set: ["r", 5], value: "instead" }] });
          await other.kv.set(["r", (page + 5) * 2], "newest");
        }
        tx.set(["written"], tx.attempt);
        return tx.attempt;
      });
      assert.equal(attempts, 2);
    },
  },

  "an add does not conflict with the adds of others, unless the sum was read": async ({ engine, other }) => {
    const blind = await engine.transact(async (tx) => {
      tx.add(["sum"], 1);
      if (tx.attempt === 1) await other.kv.add(["sum"], 10);
      return tx.attempt;
    });
    assert.equal(blind, 1);
    const reading = await engine.transact(async (tx) => {
      tx.add(["sum"], 1);
      await tx.get(["sum"]);
      if (tx.attempt === 1) await other.kv.add(["sum"], 10);
      return tx.attempt;
    });
    assert.equal(reading, 2);
    assert.equal(await getValue(engine, ["sum"]), 22);
  },

  "what is written and not read does not conflict": async ({ engine, other, topic }) => {
    const blind = await engine.transact(async (tx) => {
      tx.set(["k"], "ours");
      tx.append(topic("t"), ["ours"]);
      if (tx.attempt === 1) {
        await other.kv.set(["k"], "theirs");
        await other.log.append("t", ["theirs"]);
      }
      return tx.attempt;
    });
    assert.equal(blind, 1);
    assert.equal(await getValue(engine, ["k"]), "ours");
    assert.deepEqual(
      (await engine.log.read("t")).map(({ value }) => value),
      ["theirs", "ours"],
    );
  },

  "an error from reads that never stood together is not passed on": async ({ engine, other }) => {
    await engine.kv.commit({ mutations: ["a", "b"].map((name) => ({ set: [name], value: 0 })) });
    const attempts = await engine.transact(async (tx) => {
      const a = await tx.get(["a"]);
      if (tx.attempt === 1) await other.kv.commit({ mutations: ["a", "b"].map((name) => ({ set: [name], value: 1 })) });
      const b = await tx.get(["b"]);
      if (a !== b) throw new Error("a and b differ, which no state of the store shows");
      return tx.attempt;
    });
    assert.equal(attempts, 2);
    const real = new Error("the function's own opinion of a consistent state");
    await failsBy(real, () =>
      engine.transact(async (tx) => {
        await tx.get(["a"]);
        throw real;
      }),
    );
  },
});

const anomalies = facts("transact", {
  "transactions that only read see one instant": {
    guarantee: "commits",
    run: async ({ engine, other, runtime }) => {
      const write = (n: number) =>
        other.kv.commit({ mutations: ["a", "b", "c"].map((name) => ({ set: ["r", name], value: n })) });
      await write(-1);
      const readAll = async (tx: Transaction) => [
        await tx.get(["r", "a"]),
        ...(await tx.getMany([["r", "b"]])),
        ...(await Array.fromAsync(tx.list({ prefix: ["r"] }))).map(({ value }) => value),
      ];
      await during(runtime, repeat(60, write), async () => {
        const seen = await engine.transact(readAll);
        assert.equal(new Set(seen).size, 1, `one transaction saw ${seen}`);
      });
    },
  },

  "write skew is impossible": {
    guarantee: "commits",
    run: async ({ engine, other }) => {
      for (const round of numbers(12)) {
        const [mine, yours] = [
          ["on-call", round, "a"],
          ["on-call", round, "b"],
        ];
        await engine.kv.commit({ mutations: [mine, yours].map((key) => ({ set: key, value: true })) });
        // Each may leave as long as the other stays.
        const leave = (client: Engine, self: string[] | (string | number)[]) =>
          client.transact(async (tx) => {
            const present = (await tx.getMany<boolean>([mine, yours])).filter((value) => value);
            if (present.length > 1) tx.set(self, false);
          });
        await Promise.all([leave(engine, mine), leave(other, yours)]);
        const staying = (await engine.kv.getMany([mine, yours])).filter((entry) => entry?.value);
        assert.equal(staying.length, 1);
      }
    },
  },

  "phantoms are impossible: a limit on a range's size holds": {
    guarantee: "commits",
    run: async ({ engine, other }) => {
      for (const round of numbers(8)) {
        const enter = (client: Engine, name: number) =>
          client.transact(async (tx) => {
            const inside = await Array.fromAsync(tx.list({ prefix: ["room", round] }));
            if (inside.length < 3) tx.set(["room", round, name], true);
          });
        await Promise.all(numbers(6).map((i) => enter(i % 2 ? engine : other, i)));
        assert.equal((await listKeys(engine, { prefix: ["room", round] })).length, 3);
      }
    },
  },

  "write skew through ranges is impossible": {
    guarantee: "commits",
    run: async ({ engine, other }) => {
      for (const round of numbers(12)) {
        // Each books unless anyone, under whatever key, has booked in the other half.
        const book = (client: Engine, half: number) =>
          client.transact(async (tx) => {
            const others = await Array.fromAsync(tx.list({ prefix: ["half", round, 1 - half] }, { limit: 1 }));
            if (others.length === 0) tx.set(["half", round, half, half + 10], true);
          });
        await Promise.all([book(engine, 0), book(other, 1)]);
        assert.equal((await listKeys(engine, { prefix: ["half", round] })).length, 1);
      }
    },
  },

  "no update is lost": {
    guarantee: "commits",
    run: async ({ engine, other }) => {
      const increment = (client: Engine) =>
        client.transact(async (tx) => tx.set(["n"], ((await tx.get<number>(["n"])) ?? 0) + 1));
      await Promise.all([engine, other, engine, other].map((client) => repeat(15, () => increment(client))));
      assert.equal(await getValue(engine, ["n"]), 60);
    },
  },

  "transfers keep the total in every state that anyone sees": {
    guarantee: "commits",
    run: async ({ engine, other, chance, runtime }) => {
      const accounts = numbers(5);
      await engine.kv.commit({ mutations: accounts.map((i) => ({ set: ["account", i], value: 100 })) });
      const transfer = async (client: Engine): Promise<void> => {
        const [from, to, amount] = [chance.below(5), chance.below(5), chance.below(30)];
        await client.transact(async (tx) => {
          const source = (await tx.get<number>(["account", from])) ?? 0;
          if (from === to || source < amount) return;
          tx.set(["account", from], source - amount);
          tx.set(["account", to], ((await tx.get<number>(["account", to])) ?? 0) + amount);
        });
      };
      const total = (values: unknown[]) => values.reduce((sum: number, value) => sum + (value as number), 0);
      const transfers = Promise.all([engine, other, engine, other].map((client) => repeat(20, () => transfer(client))));
      await during(runtime, transfers, async () => {
        assert.equal(total(await listValues(other, { prefix: ["account"] })), 500);
        const seen = await engine.transact((tx) => tx.getMany(accounts.map((i) => ["account", i])));
        assert.equal(total(seen), 500);
      });
      const values = await listValues(engine, { prefix: ["account"] });
      assert.equal(total(values), 500);
      assert.ok(values.every((value) => (value as number) >= 0));
    },
  },

  "a transaction as large as a commit may be takes effect as one": async ({ engine, other, runtime }) => {
    const count = Math.min(engine.limits.operations, 1000) - 1;
    await during(
      runtime,
      engine.transact((tx) => numbers(count).forEach((i) => void tx.set(["n", i], i))),
      async () => {
        const seen = (await listAll(other, { prefix: ["n"] }, { limit: Math.min(count, other.limits.listEntries) }))
          .length;
        assert.ok(seen === 0 || seen === Math.min(count, other.limits.listEntries), `saw ${seen} of ${count}`);
      },
    );
    assert.equal((await listKeys(engine, { prefix: ["n"] })).length, count);
  },

  "a transaction larger than a commit may be is refused": async ({ engine }) => {
    const { operations } = engine.limits;
    await failsWith("LIMIT", () =>
      engine.transact((tx) => numbers(operations + 1).forEach((i) => void tx.set(["n", i], i))),
    );
    assert.deepEqual(await listKeys(engine, {}), []);
  },
});

const joining = facts("transact", {
  "a transaction joined by other scopes commits with all of them, and reads in each": async ({ engine, topic }) => {
    const [a, b] = [engine.scope("a"), engine.scope("b", 1)];
    await b.kv.set(["k"], "before");
    const kept = await a.transact(async (tx) => {
      const there = b.join(tx);
      assert.equal(await there.get(["k"]), "before");
      tx.set(["k"], "in a");
      there.set(["k"], "in b");
      there.append(topic("t", b), ["in b"]);
      assert.equal(await there.get(["k"]), "in b");
      assert.equal(await tx.get(["k"]), "in a");
      assert.equal(await engine.join(tx).get(["b", 1, "k"]), "in b");
      assert.equal(there.attempt, tx.attempt);
      assert.equal(there.signal, tx.signal);
      assert.deepEqual(await Array.fromAsync(there.list({})), [{ key: ["k"], value: "in b" }]);
      return there.add(["sum"], 3);
    });
    assert.equal(kept.value, 3);
    assert.deepEqual([await getValue(a, ["k"]), await getValue(b, ["k"])], ["in a", "in b"]);
    assert.deepEqual(
      (await b.log.read("t")).map(({ value }) => value),
      ["in b"],
    );
  },

  "what is read through a joined scope is checked": async ({ engine, other }) => {
    const scope = engine.scope("joined");
    const read = (tx: Transaction) => scope.join(tx).get(["k"]);
    assert.equal(await interrupted(engine, read, () => other.kv.set(["joined", "k"], 1)), 2);
  },

  "a transaction of another client cannot be joined": async ({ engine, other }) => {
    await failsWith("INVALID_ARGUMENT", () =>
      engine.transact((tx) => {
        tx.set(["k"], 1);
        other.join(tx).set(["k2"], 1);
      }),
    );
    assert.deepEqual(await listKeys(engine, {}), []);
    for (const bad of [undefined, {}, engine]) {
      assert.throws(() => engine.join(bad as never), InvalidArgumentError);
    }
  },

  "the end of a transaction ends its joined views": async ({ engine }) => {
    let kept: Transaction | undefined;
    await engine.transact((tx) => {
      kept = engine.scope("joined").join(tx);
    });
    await failsWith("INVALID_STATE", () => kept?.set(["k"], 1));
    await failsWith("INVALID_STATE", () => kept?.get(["k"]));
  },
});

export const isolationFacts = [...conflicts, ...anomalies, ...joining];
