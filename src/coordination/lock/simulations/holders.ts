import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import type { Hold } from "../hold.ts";

/** A hold as the process that has it sees it. */
export interface Holding {
  readonly hold: Hold;
  /** What it holds, and how much of it. */
  readonly shares: Readonly<Record<string, number>>;
}

/** What stands in the log for each effect that a holder had. */
interface Effect {
  readonly name: string;
  readonly weight: number;
  readonly token: number;
}

interface Kind {
  readonly name: string;
  /** The parts of the layout under `"lock"`: kind and name, with how many permits there are. */
  readonly resources: readonly { readonly kind: string; readonly name: string; readonly permits: number }[];
  /** Takes something, now this, now that; `undefined` if it did not get it. */
  acquire(node: SimulatedNode): Promise<Holding | undefined>;
}

/**
 * Machines that hold something, have effects under its fence for a while, and give it back, over and over.
 *
 * Invariants: no two holds that exclude each other are believed in at one time; what the store says is held sums up to what it counts and is never more than there is;
 * the effects of holds that exclude each other do not interleave, and tokens of exclusive holds ascend. After the faults everybody is served again.
 */
export function holders({ name, resources, acquire }: Kind): Scenario {
  return {
    name,
    faults: ["engine", "network", "process", "clock", "code"],
    nodes: { worker: { count: 4, start: (node) => work(node, acquire) } },
    // The world goes on while one client thinks.
    workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
    budget: { faults: "25s", heal: "90s" },
    invariants: {
      "who holds has it alone": (world) => aloneByBelief(world, resources),
      "what is held is what is counted, and no more than there is": (world) => countsAgree(world, resources),
    },
    eventually: {
      "everybody is served": everybodyIsServed,
      "effects did not interleave": async (world) => {
        for (const { name: resource, permits } of resources)
          effectsDoNotInterleave(await effectsOf(world, resource), permits);
        return true;
      },
    },
  };
}

const holdings = (state: World["state"]) => state.get("holdings") as Map<string, Holding>;
const served = (state: World["state"]) => state.get("served") as Map<string, number>;

function setup({ state }: World): void {
  state.set("holdings", new Map());
  state.set("served", new Map());
}

function work(node: SimulatedNode, acquire: Kind["acquire"]): void {
  const { runtime, name, state } = node;
  const pause = (mean: number) => sleep(runtime, runtime.random.next() * 2 * mean);
  holdings(state).delete(name);
  void (async () => {
    for (;;) {
      try {
        const holding = await acquire(node);
        if (holding) {
          holdings(state).set(name, holding);
          try {
            await haveEffects(node, holding, () => pause(runtime.random.next() < 0.1 ? 1500 : 60));
          } finally {
            holdings(state).delete(name);
            await holding.hold.release();
          }
          served(state).set(name, (served(state).get(name) ?? 0) + 1);
        }
      } catch (error) {
        if (!isAshlarError(error) || error.code === "INVALID_STATE" || error.code === "INVALID_ARGUMENT") throw error;
      }
      await pause(100);
    }
  })();
}

async function haveEffects(node: SimulatedNode, { hold, shares }: Holding, wait: () => Promise<void>): Promise<void> {
  for (let i = Math.floor(node.runtime.random.next() * 4); i >= 0; i--) {
    await node.engine.transact(
      (tx) => {
        for (const [name, weight] of Object.entries(shares))
          tx.append(["effects", name], [{ name: node.name, weight, token: tokenOf(hold, name) } satisfies Effect]);
      },
      { fence: hold, deadline: "5s" },
    );
    await wait();
  }
}

function tokenOf(hold: Hold, name: string): number {
  return (hold as { tokens?: Readonly<Record<string, number>> }).tokens?.[name] ?? hold.token;
}

/** Asks each machine that runs whether it would, at this moment, say that it holds. */
function aloneByBelief({ state, running }: World, resources: Kind["resources"]): void {
  const alive = new Set(running());
  for (const { name, permits } of resources) {
    const believers = [...holdings(state)].filter(
      ([node, { hold, shares }]) => alive.has(node) && name in shares && hold.held,
    );
    const sum = believers.reduce((total, [, { shares }]) => total + (shares[name] as number), 0);
    assert.ok(
      sum <= permits,
      `${believers.map(([node]) => node).join(" and ")} hold ${sum} of ${permits} of ${name} at one time`,
    );
  }
}

async function countsAgree({ engine }: World, resources: Kind["resources"]): Promise<void> {
  for (const { kind, name, permits } of resources) {
    // One page of a list is one snapshot.
    const entries = await Array.fromAsync(
      engine.kv.list<{ weight: number } | number>({ prefix: ["lock", kind, name] }),
    );
    let held = 0;
    let used: number | undefined;
    for (const { key, value } of entries) {
      if (key[3] === "held") held += (value as { weight: number }).weight;
      if (key[3] === "used") used = value as number;
    }
    assert.ok(held <= permits, `${held} of ${permits} of ${name} are held`);
    if (kind !== "lock") assert.equal(used ?? 0, held, `${name}: counted and held`);
  }
}

/** Each machine that runs is served once more than when this was first asked. */
function everybodyIsServed({ state, running }: World): boolean {
  let before = state.get("served before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(served(state));
    state.set("served before", before);
  }
  const workers = running("worker");
  const waiting = workers.filter((name) => (served(state).get(name) ?? 0) <= (before.get(name) ?? 0));
  if (waiting.length > 0) assert.fail(`not served since the faults are over: ${waiting.join(", ")}`);
  return workers.length > 0;
}

async function effectsOf({ engine }: World, name: string): Promise<Effect[]> {
  const effects: Effect[] = [];
  for (let from = 0; ; ) {
    const records = await engine.log.read<Effect>(["effects", name], { from });
    if (records.length === 0) return effects;
    effects.push(...records.map(({ value }) => value));
    from = (records.at(-1) as { offset: number }).offset + 1;
  }
}

/** A hold lasts at least from its first effect to its last: at no time may those that overlap weigh more than there is. */
export function effectsDoNotInterleave(effects: readonly Effect[], permits: number): void {
  const last = new Map<string, number>();
  const idOf = ({ name, token }: Effect) => `${name} with token ${token}`;
  for (const [i, effect] of effects.entries()) last.set(idOf(effect), i);
  const open = new Map<string, Effect>();
  let greatest = 0;
  effects.forEach((effect, i) => {
    const id = idOf(effect);
    open.set(id, effect);
    const sum = [...open.values()].reduce((total, { weight }) => total + weight, 0);
    assert.ok(sum <= permits, `effects of ${[...open.keys()].join(", ")} overlap: ${sum} of ${permits}`);
    if (effect.weight === permits) {
      assert.ok(effect.token >= greatest, `an effect under token ${effect.token} after one under ${greatest}`);
      greatest = effect.token;
    }
    if (last.get(id) === i) open.delete(id);
  });
}
