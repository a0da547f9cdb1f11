import assert from "node:assert/strict";
import type { Fence, Transaction } from "../contract.ts";
import { getValue } from "./entries.ts";
import { failsBy, failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

export const fenceFacts = facts("transact", {
  "a check asked for by itself is a conflict, and the function runs again": async ({ engine, other }) => {
    await engine.kv.set(["gate"], "shut");
    const attempts = await engine.transact(async (tx) => {
      tx.check({ key: ["open"], present: true });
      if (tx.attempt === 2) await other.kv.set(["open"], 1);
      tx.set(["through"], tx.attempt);
      return tx.attempt;
    });
    assert.deepEqual([attempts, await getValue(engine, ["through"])], [2, 2]);
    const never = engine.transact((tx) => tx.check({ key: ["never"], present: true }), { attempts: 2 });
    await failsWith("CONFLICT", () => never);
  },

  "a check may end the transaction with an error of its own": async ({ engine, other }) => {
    await engine.kv.set(["mine"], 1);
    const lost = new Error("lost");
    let runs = 0;
    const guarded = (fn: (tx: Transaction) => void | Promise<void>) =>
      engine.transact((tx) => {
        runs++;
        tx.check({ key: ["mine"], present: true }, { otherwise: () => lost });
        return fn(tx);
      });
    await guarded((tx) => tx.set(["effect"], 1));
    await other.kv.delete(["mine"]);
    await failsBy(lost, () => guarded((tx) => tx.set(["effect"], 2)));
    await failsBy(lost, () => guarded(() => {}));
    await failsBy(lost, () =>
      guarded(async (tx) => {
        await tx.get(["effect"]);
        throw new Error("because of what it read");
      }),
    );
    assert.deepEqual([runs, await getValue(engine, ["effect"])], [4, 1]);
  },

  "a fence guards the transaction from another namespace": async ({ engine, other }) => {
    const lost = new Error("lost");
    const check = { key: ["held"], present: true } as const;
    const fence: Fence = {
      guard: (tx) =>
        other
          .scope("locks")
          .join(tx)
          .check(check, { otherwise: () => lost }),
    };
    // The fence is of the same client as the transaction.
    const own: Fence = {
      guard: (tx) =>
        engine
          .scope("locks")
          .join(tx)
          .check(check, { otherwise: () => lost }),
    };
    await failsWith("INVALID_ARGUMENT", () => engine.transact((tx) => tx.set(["k"], 1), { fence }));
    const write = (value: number) => engine.transact((tx) => tx.set(["k"], value), { fence: [own] });
    await failsBy(lost, () => write(1));
    await engine.scope("locks").kv.set(["held"], 1);
    await write(2);
    await other.scope("locks").kv.delete(["held"]);
    await failsBy(lost, () => write(3));
    assert.equal(await getValue(engine, ["k"]), 2);
    const bad = engine.transact(() => {}, { fence: {} as Fence });
    await failsWith("INVALID_ARGUMENT", () => bad, "fence");
  },
});
