import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../src/core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";

/** How a worker takes a job and does it. */
interface WorkerPractice {
  run(node: SimulatedNode, id: string): Promise<void>;
  /** Whether a worker that has nothing to do looks again by itself. */
  readonly looksAgain: boolean;
}

/** Jobs in the store, each to be done exactly once by one of the workers: its effect is a count that goes up. Clients wait for theirs. */
function queue(name: string, practice: WorkerPractice): Scenario {
  return {
    name,
    faults: ["process", "engine", "network", "code"],
    nodes: { worker: { count: 2, start: (node) => void work(node, practice) } },
    workload: { clients: 3, operations: 10, setup: ({ state }) => void state.set("jobs", []), operation: submit },
    invariants: { "no job is done twice": atMostOnce },
    eventually: { "every job is done": allDone },
  };
}

const jobsOf = ({ state }: Pick<World, "state">) => state.get("jobs") as string[];

/** Puts a job into the queue and waits until it is done. */
async function submit(client: SimulatedClient): Promise<void> {
  const { engine, name, operation, runtime } = client;
  const id = `${name}.${operation}`;
  await engine.transact((tx) => tx.set(["job", id], { id }));
  jobsOf(client).push(id);
  await engine.bus.publish("job", id).catch(ignoreTrouble);
  for (;;) {
    const done = await engine.kv.get(["effect", id]).catch(ignoreTrouble);
    if (done) return;
    await sleep(runtime, 100);
  }
}

async function work(node: SimulatedNode, { run, looksAgain }: WorkerPractice): Promise<void> {
  const { engine, runtime } = node;
  for (;;) {
    try {
      for await (const { key } of engine.kv.list({ prefix: ["job"] })) await run(node, String(key[1]));
      await using wakeUps = await engine.bus.subscribe("job");
      const woken = wakeUps[Symbol.asyncIterator]().next();
      await (looksAgain ? Promise.race([woken, sleep(runtime, 300)]) : woken);
    } catch (error) {
      ignoreTrouble(error);
      await sleep(runtime, 50);
    }
  }
}

function ignoreTrouble(error: unknown): undefined {
  if (!isAshlarError(error) || error.code === "INVALID_ARGUMENT") throw error;
  return undefined;
}

async function effects({ engine }: World): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] })) counts.set(String(key[1]), value);
  return counts;
}

async function atMostOnce(world: World): Promise<void> {
  for (const [id, count] of await effects(world)) assert.equal(count, 1, `${id} was done ${count} times`);
}

async function allDone(world: World): Promise<boolean> {
  const done = await effects(world);
  return jobsOf(world).every((id) => done.has(id));
}

const leaseMs = 1_000;

async function takeEffect({ engine }: SimulatedNode, id: string): Promise<void> {
  await engine.transact(async (tx) => {
    tx.set(["effect", id], ((await tx.get<number>(["effect", id])) ?? 0) + 1);
  });
}

/** True: this worker has the job now, for the time of its lease. */
async function claim({ engine, name }: SimulatedNode, id: string): Promise<boolean> {
  return await engine.transact(async (tx) => {
    if ((await tx.get(["job", id])) === undefined || (await tx.get(["claim", id])) !== undefined) return false;
    tx.set(["claim", id], name, { ttl: leaseMs });
    return true;
  });
}

/** The effect and the end of the job are one commit, which only the first to come can make. */
async function runAtomically(node: SimulatedNode, id: string): Promise<void> {
  if (!(await claim(node, id))) return;
  await sleep(node.runtime, node.runtime.random.next() * 20);
  await node.engine.transact(async (tx) => {
    if ((await tx.get(["job", id])) === undefined) return;
    tx.set(["effect", id], ((await tx.get<number>(["effect", id])) ?? 0) + 1);
    tx.delete(["job", id]);
    tx.delete(["claim", id]);
  });
}

async function runThenDelete(node: SimulatedNode, id: string): Promise<void> {
  if (!(await claim(node, id))) return;
  await sleep(node.runtime, node.runtime.random.next() * 20);
  await takeEffect(node, id);
  await node.engine.transact((tx) => tx.delete(["job", id]));
}

async function deleteThenRun(node: SimulatedNode, id: string): Promise<void> {
  const isMine = await node.engine.transact(async (tx) => {
    if ((await tx.get(["job", id])) === undefined) return false;
    tx.delete(["job", id]);
    return true;
  });
  if (isMine) await takeEffect(node, id);
}

const correct = queue("job queue", { run: runAtomically, looksAgain: true });

export const doubleDelivery: PlantedBug = {
  name: "effect-before-acknowledgement",
  what: "a job's effect is one commit and its end another: a worker that dies between the two leaves the job to be done again",
  within: 20,
  correct,
  planted: queue("job queue, two commits", { run: runThenDelete, looksAgain: true }),
};

export const lostJob: PlantedBug = {
  name: "delete-before-effect",
  what: "a job is taken out of the queue before it is done, and the worker dies",
  within: 20,
  correct,
  planted: queue("job queue, delete first", { run: deleteThenRun, looksAgain: true }),
};

export const lostWakeUp: PlantedBug = {
  name: "lost-wake-up",
  what: "a worker that has found nothing waits for a message, which has come and gone, and never looks again",
  within: 70,
  correct,
  planted: queue("job queue, messages only", { run: runAtomically, looksAgain: false }),
};
