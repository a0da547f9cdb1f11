import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createElection, type Leader, type Leadership } from "../election.ts";

/**
 * Candidates that lead for a while, resign, hand over to another, or die; and observers.
 *
 * Invariants: at most one machine believes to lead; writes under a term come before all writes under later ones; after the faults there is a leader again and
 * again, every candidate gets its turn, and all who observe agree with what is announced.
 */
export const election: Scenario = {
  name: "election",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { candidate: { count: 3, start: stand }, observer: { count: 2, start: observe } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "90s" },
  invariants: { "at most one leads": atMostOneLeads },
  eventually: {
    "every candidate leads again": everyoneLeadsAgain,
    "writes of terms do not interleave": termsAscend,
    "observers follow": observersFollow,
  },
};

type State = World["state"];
const leading = (state: State) => state.get("leading") as Map<string, Leadership>;
const terms = (state: State) => state.get("terms") as Map<string, number>;
const observed = (state: State) => state.get("observed") as Map<string, Leader | undefined>;

function setup({ state }: World): void {
  for (const name of ["leading", "terms", "observed"]) state.set(name, new Map());
}

function stand(node: SimulatedNode): void {
  const { engine, name, runtime, state } = node;
  leading(state).delete(name);
  const election = createElection(engine, "scheduler", { candidate: name, ttl: "2s" });
  const pause = (mean: number) => sleep(runtime, runtime.random.next() * 2 * mean);
  const rule = async (leadership: Leadership): Promise<void> => {
    leading(state).set(name, leadership);
    try {
      for (let i = Math.floor(runtime.random.next() * 5); i >= 0; i--) {
        await engine.transact((tx) => void tx.append("writes", [leadership.term]), {
          fence: leadership,
          deadline: "5s",
        });
        await pause(100);
      }
    } finally {
      leading(state).delete(name);
    }
    terms(state).set(name, (terms(state).get(name) ?? 0) + 1);
    const others = node.peers("candidate").filter((peer) => peer !== name);
    if (runtime.random.next() < 0.3)
      await leadership.resign({ to: others[Math.floor(runtime.random.next() * 2)] as string });
  };
  void (async () => {
    for (;;) {
      try {
        await election.lead(rule, runtime.random.next() < 0.5 ? { standby: () => pause(300) } : {});
      } catch (error) {
        if (!isAshlarError(error) || error.code === "INVALID_STATE" || error.code === "INVALID_ARGUMENT") throw error;
      }
      await pause(200);
    }
  })();
}

function observe({ engine, name, state }: SimulatedNode): void {
  observed(state).delete(name);
  const election = createElection(engine, "scheduler", { candidate: name });
  void (async () => {
    for await (const leader of election.observe()) observed(state).set(name, leader);
  })();
}

function atMostOneLeads({ state, running }: World): void {
  const alive = new Set(running());
  const believers = [...leading(state)].filter(([node, leadership]) => alive.has(node) && leadership.held);
  assert.ok(believers.length <= 1, `${believers.map(([node]) => node).join(" and ")} lead at one time`);
}

function everyoneLeadsAgain({ state, running }: World): boolean {
  let before = state.get("terms before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(terms(state));
    state.set("terms before", before);
  }
  const waiting = running("candidate").filter((name) => (terms(state).get(name) ?? 0) <= (before.get(name) ?? 0));
  if (waiting.length > 0) assert.fail(`have not led since the faults are over: ${waiting.join(", ")}`);
  return running("candidate").length > 0;
}

async function termsAscend({ engine }: World): Promise<boolean> {
  let greatest = 0;
  for (let from = 0; ; ) {
    const records = await engine.log.read<number>("writes", { from });
    if (records.length === 0) return true;
    for (const { value } of records) {
      assert.ok(value >= greatest, `a write under term ${value} after one under ${greatest}`);
      greatest = value;
    }
    from = (records.at(-1) as { offset: number }).offset + 1;
  }
}

/** At this moment: leaders come and go, so it is asked until it is so. */
async function observersFollow(world: World): Promise<boolean> {
  const entry = await world.engine.scope("election").kv.get<{ term: number; lease: string }>(["scheduler", "leader"]);
  const lives = entry && (await world.engine.kv.get(["lease", entry.value.lease])) !== undefined;
  const term = lives ? entry.value.term : undefined;
  return world.running("observer").every((name) => observed(world.state).get(name)?.term === term);
}
