import { transactions } from "../../check/index.ts";
import type { Scenario, SimulatedClient } from "../../simulation/index.ts";
import type { Transaction } from "../index.ts";

type Micro = readonly ["r", string, readonly string[] | null] | readonly ["append", string, string];

const keys = ["a", "b", "c", "d", "e"];

/** Transactions over a few lists, by key and by range: strictly serialisable, each at most once, and none of those refused. */
export const transact: Scenario = {
  name: "transact",
  faults: ["engine", "network", "clock", "code"],
  workload: {
    clients: 4,
    operations: 20,
    think: 60,
    operation: async (client) => {
      const { runtime, engine } = client;
      const size = 1 + Math.floor(runtime.random.next() * 4);
      const plan = Array.from({ length: size }, (_, i) => drawMicro(client, i));
      const deadline = runtime.random.next() < 0.3 ? "300ms" : "20s";
      await client.record({ name: "transact", input: plan }, () =>
        engine.transact((tx) => perform(tx, plan), { deadline }),
      );
    },
  },
  checks: [transactions({ kind: "list-append" })],
};

function drawMicro({ name, operation, runtime }: SimulatedClient, index: number): Micro {
  const key = keys[Math.floor(runtime.random.next() * keys.length)] as string;
  return runtime.random.next() < 0.5 ? ["r", key, null] : ["append", key, `${name}.${operation}.${index}`];
}

async function perform(tx: Transaction, plan: readonly Micro[]): Promise<Micro[]> {
  const done: Micro[] = [];
  // Every other transaction looks at all lists at once, so that ranges are checked as well as keys.
  const byRange = plan.length % 2 === 0;
  for (const [kind, key, value] of plan) {
    if (kind === "r")
      done.push(["r", key, byRange ? await readByRange(tx, key) : ((await tx.get<string[]>([key])) ?? null)]);
    else {
      const list = (await tx.get<string[]>([key])) ?? [];
      tx.set([key], [...list, value as string]);
      done.push(["append", key, value as string]);
    }
  }
  return done;
}

async function readByRange(tx: Transaction, key: string): Promise<readonly string[] | null> {
  for await (const entry of tx.list<string[]>({ prefix: [] })) if (entry.key[0] === key) return entry.value;
  return null;
}
