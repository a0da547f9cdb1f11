import assert from "node:assert/strict";
import { sleep } from "../../src/core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../src/simulation/index.ts";
import { DurableMap } from "./durable-map.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

interface Practice {
  /** Whether a decision to commit is on the coordinator's disk before anybody is told. */
  readonly durableDecision: boolean;
  /** What a participant does that has promised to commit and hears nothing. */
  readonly inDoubt: "ask" | "abort";
}

/** `prepared`: it has promised to do whatever is decided. */
type Status = "prepared" | "committed" | "aborted";
type Decision = "committed" | "aborted";
type Order = { readonly id: string; readonly order: "prepare" | Decision };

const port = 1;
const participants = ["participant-0", "participant-1"];
const coordinator = "coordinator-0";
const patienceMs = 300;

/** Two-phase commit with presumed abort (Mohan, Lindsay, Obermarck: Transaction management in the R* distributed database management system, TODS 1986). */
function commits(practice: Practice): Scenario {
  return {
    name: "two-phase commit",
    faults: ["process", "network", "disk", "clock"],
    uncaught: "crash",
    nodes: {
      coordinator: { count: 1, start: (node) => coordinate(node, practice) },
      participant: { count: participants.length, start: (node) => participate(node, practice) },
    },
    workload: {
      clients: 2,
      operations: 12,
      setup: ({ state }) => void state.set("participants", new Map()),
      operation: async (client) =>
        void (await request(client, coordinator, port, { run: `${client.name}.${client.operation}` }, 3_000)),
    },
    invariants: { "all or none have committed": atomic },
    eventually: { "nobody is in doubt": ({ state }) => statuses(state).every(([, status]) => status !== "prepared") },
  };
}

function statuses(state: World["state"]): [string, Status][] {
  return [...(state.get("participants") as Map<string, DurableMap<Status>>).values()].flatMap((each) => each.entries());
}

function atomic({ state }: World): void {
  const decided = new Map<string, Status>();
  for (const [id, status] of statuses(state)) {
    if (status === "prepared") continue;
    assert.equal(decided.get(id) ?? status, status, `${id} is committed here and aborted there`);
    decided.set(id, status);
  }
}

async function coordinate(node: SimulatedNode, { durableDecision }: Practice): Promise<void> {
  const committed = await DurableMap.open<true>(node, "/committed");
  const running = new Set<string>();

  const run = async (id: string): Promise<Decision> => {
    running.add(id);
    const votes = participants.map((each) =>
      request(node, each, port, { id, order: "prepare" } satisfies Order, patienceMs),
    );
    const results = await Promise.allSettled(votes);
    const decision = results.every(({ status }) => status === "fulfilled") ? "committed" : "aborted";
    const write = (): Promise<void> => (decision === "committed" ? committed.set(id, true) : Promise.resolve());
    if (durableDecision) await write();
    // Who does not hear it asks.
    const orders = participants.map((each) =>
      request(node, each, port, { id, order: decision } satisfies Order, patienceMs),
    );
    await Promise.allSettled(orders);
    if (!durableDecision) await write();
    running.delete(id);
    return decision;
  };

  serve(node, port, (body) => {
    const { run: id, ask } = body as { run?: string; ask?: string };
    if (id !== undefined) return run(id);
    if (running.has(ask as string)) throw new Error("not decided yet");
    return committed.get(ask as string) ? "committed" : "aborted";
  });
}

async function participate(node: SimulatedNode, { inDoubt }: Practice): Promise<void> {
  const { runtime, state, name } = node;
  const known = await DurableMap.open<Status>(node, "/transactions");
  (state.get("participants") as Map<string, DurableMap<Status>>).set(name, known);

  const decide = async (id: string, decision: Decision): Promise<void> => {
    if (known.get(id) === "prepared") await known.set(id, decision);
  };
  const resolveDoubt = async (id: string): Promise<void> => {
    for (await sleep(runtime, 2 * patienceMs); known.get(id) === "prepared"; await sleep(runtime, patienceMs)) {
      if (inDoubt === "abort") await decide(id, "aborted");
      else
        await request<Decision>(node, coordinator, port, { ask: id }).then(
          (decision) => decide(id, decision),
          ignoreSilence,
        );
    }
  };

  for (const [id, status] of known.entries()) if (status === "prepared") void resolveDoubt(id);
  serve(node, port, async (body) => {
    const { id, order } = body as Order;
    if (order !== "prepare") return await decide(id, order);
    if (runtime.random.next() < 0.1) throw new Error("no");
    await known.set(id, "prepared");
    void resolveDoubt(id);
    return "yes";
  });
}

function ignoreSilence(error: unknown): void {
  if (!(error instanceof Error) || error instanceof TypeError) throw error;
}

const right: Practice = { durableDecision: true, inDoubt: "ask" };
const correct = commits(right);

export const unwrittenDecision: PlantedBug = {
  name: "decision-not-written",
  what: "the coordinator tells its decision before it is on disk, forgets it in a crash, and presumes an abort",
  within: 200,
  correct,
  planted: commits({ ...right, durableDecision: false }),
};

export const impatientParticipant: PlantedBug = {
  name: "participant-aborts-in-doubt",
  what: "a participant that has promised to commit aborts on its own when it hears no decision in time",
  within: 30,
  correct,
  planted: commits({ ...right, inDoubt: "abort" }),
};
