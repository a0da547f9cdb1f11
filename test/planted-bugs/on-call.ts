import assert from "node:assert/strict";
import type { Engine, Transaction } from "../../src/engine/index.ts";
import type { Scenario, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";

const doctors = ["ada", "ben", "cho"];

/** Doctors go off duty and come back; one of them must be on call (write skew: Cahill, Röhm, Fekete: Serializable isolation for snapshot databases, 2008). */
function ward(onDuty: (engine: Engine, tx: Transaction) => Promise<string[]>): Scenario {
  return {
    name: "on call",
    faults: ["engine", "network", "code"],
    workload: {
      clients: 3,
      operations: 15,
      think: 20,
      setup: async ({ engine }) => {
        for (const doctor of doctors) await engine.kv.set(["duty", doctor], true);
      },
      async operation({ engine, index, runtime }) {
        const doctor = doctors[index] as string;
        const leaves = runtime.random.next() < 0.6;
        await engine.transact(async (tx) => {
          if (!leaves) tx.set(["duty", doctor], true);
          else if ((await onDuty(engine, tx)).some((other) => other !== doctor)) tx.delete(["duty", doctor]);
        });
      },
    },
    invariants: { "somebody is on call": somebody },
  };
}

async function somebody({ engine }: World): Promise<void> {
  const found = await Array.fromAsync(engine.kv.list({ prefix: ["duty"] }));
  assert.ok(found.length > 0, "nobody is on call");
}

export const writeSkew: PlantedBug = {
  name: "write-skew",
  what: "a transaction decides by a read that is no part of it, so that two of them take each other's ground away",
  within: 20,
  correct: ward(async (_, tx) =>
    (await Array.fromAsync(tx.list({ prefix: ["duty"] }))).map(({ key }) => String(key[1])),
  ),
  planted: ward(async ({ kv }) =>
    (await Array.fromAsync(kv.list({ prefix: ["duty"] }))).map(({ key }) => String(key[1])),
  ),
};
