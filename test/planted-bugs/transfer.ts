import assert from "node:assert/strict";
import type { Scenario, SimulatedNode, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

interface Order {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

const accounts = 4;
const total = 100 * accounts;
const port = 1;

/** A teller moves money between accounts on behalf of clients. */
function bank(move: (node: SimulatedNode, order: Order) => Promise<void>): Scenario {
  return {
    name: "transfer",
    faults: ["process", "engine", "network", "code"],
    nodes: { teller: { count: 2, start: (node) => serve(node, port, (body) => move(node, body as Order)) } },
    workload: {
      clients: 3,
      operations: 12,
      async setup({ engine }) {
        for (let account = 0; account < accounts; account++) await engine.kv.set(["account", account], 100);
      },
      async operation(client) {
        const { random } = client.runtime;
        const from = Math.floor(random.next() * accounts);
        const to = (from + 1 + Math.floor(random.next() * (accounts - 1))) % accounts;
        const amount = 1 + Math.floor(random.next() * 50);
        await request(client, `teller-${client.operation % 2}`, port, { from, to, amount } satisfies Order);
      },
    },
    eventually: { "no money is lost or made": async (world) => (await sumOf(world)) === total },
    invariants: { "no account is overdrawn": solvent },
  };
}

async function balances({ engine }: World): Promise<number[]> {
  const keys = Array.from({ length: accounts }, (_, account) => ["account", account]);
  return (await engine.kv.getMany<number>(keys)).map((entry) => entry?.value ?? 0);
}

async function sumOf(world: World): Promise<number> {
  return (await balances(world)).reduce((sum, balance) => sum + balance, 0);
}

async function solvent(world: World): Promise<void> {
  for (const balance of await balances(world)) assert.ok(balance >= 0, `a balance is ${balance}`);
}

async function moveAtOnce({ engine }: SimulatedNode, { from, to, amount }: Order): Promise<void> {
  await engine.transact(async (tx) => {
    const source = (await tx.get<number>(["account", from])) ?? 0;
    const target = (await tx.get<number>(["account", to])) ?? 0;
    if (source < amount) throw new Error("not enough money");
    tx.set(["account", from], source - amount);
    tx.set(["account", to], target + amount);
  });
}

async function moveInTwoSteps({ engine }: SimulatedNode, { from, to, amount }: Order): Promise<void> {
  await engine.transact(async (tx) => {
    const source = (await tx.get<number>(["account", from])) ?? 0;
    if (source < amount) throw new Error("not enough money");
    tx.set(["account", from], source - amount);
  });
  await engine.transact(async (tx) => tx.set(["account", to], ((await tx.get<number>(["account", to])) ?? 0) + amount));
}

async function moveUnchecked({ engine }: SimulatedNode, { from, to, amount }: Order): Promise<void> {
  const balance = (await engine.kv.get<number>(["account", from]))?.value ?? 0;
  if (balance < amount) throw new Error("not enough money");
  await engine.kv.commit({
    mutations: [
      { add: ["account", from], delta: -amount },
      { add: ["account", to], delta: amount },
    ],
  });
}

const correct = bank(moveAtOnce);

export const transferInTwoSteps: PlantedBug = {
  name: "transfer-in-two-commits",
  what: "money leaves one account in one commit and reaches the other in the next; a crash comes in between",
  within: 20,
  correct,
  planted: bank(moveInTwoSteps),
};

export const transferUnchecked: PlantedBug = {
  name: "check-then-act",
  what: "the balance is read before the commit that relies on it, and nothing checks that it still is what it was",
  within: 70,
  correct,
  planted: bank(moveUnchecked),
};
