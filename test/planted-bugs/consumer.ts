import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../src/core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { requestAgain, serve } from "./request.ts";

const port = 1;

/** Senders repeat a message until it is answered; each is to be counted once. */
function inbox(name: string, open: (node: SimulatedNode) => (id: string) => Promise<void>): Scenario {
  return {
    name,
    faults: ["process", "network", "engine", "code"],
    nodes: {
      inbox: {
        count: 1,
        start(node) {
          const handle = open(node);
          serve(node, port, (body) => handle(body as string).then(() => "handled"));
        },
      },
    },
    workload: {
      clients: 3,
      operations: 15,
      setup: ({ state }) => void state.set("answered", []),
      async operation(client) {
        const id = `${client.name}.${client.operation}`;
        await requestAgain(client, "inbox-0", port, id, { attempts: 200, timeout: 300 });
        (client.state.get("answered") as string[]).push(id);
      },
    },
    invariants: {
      "each message is counted at most once": atMostOnce,
      "what was answered is counted": answeredIsCounted,
    },
  };
}

async function counts({ engine }: World): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["count"] })) found.set(String(key[1]), value);
  return found;
}

async function atMostOnce(world: World): Promise<void> {
  for (const [id, count] of await counts(world)) assert.equal(count, 1, `${id} was counted ${count} times`);
}

async function answeredIsCounted(world: World): Promise<void> {
  const found = await counts(world);
  for (const id of world.state.get("answered") as string[]) assert.ok(found.has(id), `${id} was not counted`);
}

/** That the message was handled is remembered in the commit of its effect. */
function rememberInStore({ engine }: SimulatedNode): (id: string) => Promise<void> {
  return (id) =>
    engine.transact(async (tx) => {
      if ((await tx.get(["handled", id])) !== undefined) return;
      tx.set(["handled", id], true);
      tx.set(["count", id], ((await tx.get<number>(["count", id])) ?? 0) + 1);
    });
}

function rememberInMemory({ engine }: SimulatedNode): (id: string) => Promise<void> {
  const handled = new Map<string, Promise<void>>();
  return (id) => {
    const known = handled.get(id);
    if (known) return known;
    const work = engine.transact(async (tx) => {
      tx.set(["count", id], ((await tx.get<number>(["count", id])) ?? 0) + 1);
    });
    handled.set(id, work);
    work.catch(() => handled.delete(id));
    return work;
  };
}

export const dedupInMemory: PlantedBug = {
  name: "dedup-in-memory",
  what: "which messages were handled is remembered in memory alone, and a sender repeats one after a crash",
  within: 30,
  correct: inbox("inbox", rememberInStore),
  planted: inbox("inbox, memory only", rememberInMemory),
};

/** A consumer that follows a topic and remembers how far it has come. */
function follower(name: string, step: (node: SimulatedNode, offset: number, id: string) => Promise<void>): Scenario {
  return {
    name,
    faults: ["process", "network", "engine", "code"],
    nodes: { consumer: { count: 1, start: (node) => void follow(node, step) } },
    workload: {
      clients: 3,
      operations: 15,
      setup: ({ state }) => void state.set("answered", []),
      async operation({ engine, name: client, operation, state }) {
        const id = `${client}.${operation}`;
        await engine.transact((tx) => void tx.append("messages", [id]));
        (state.get("answered") as string[]).push(id);
      },
    },
    invariants: { "each message is counted at most once": atMostOnce },
    eventually: {
      "each message is counted": async (world) => {
        const found = await counts(world);
        return (world.state.get("answered") as string[]).every((id) => found.has(id));
      },
    },
  };
}

const cursorKey = ["cursor"];

async function follow(
  node: SimulatedNode,
  step: (node: SimulatedNode, offset: number, id: string) => Promise<void>,
): Promise<void> {
  const { engine, runtime } = node;
  for (;;) {
    try {
      const from = (await engine.kv.get<number>(cursorKey))?.value ?? 0;
      for await (const records of engine.log.tail<string>("messages", { from })) {
        for (const { offset, value } of records) await step(node, offset, value);
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      await sleep(runtime, 20);
    }
  }
}

async function count({ engine }: SimulatedNode, id: string): Promise<void> {
  await engine.transact(async (tx) => tx.set(["count", id], ((await tx.get<number>(["count", id])) ?? 0) + 1));
}

async function advance({ engine }: SimulatedNode, offset: number): Promise<void> {
  await engine.transact((tx) => tx.set(cursorKey, offset + 1));
}

async function stepAtomically({ engine }: SimulatedNode, offset: number, id: string): Promise<void> {
  await engine.transact(async (tx) => {
    // Another life of this consumer may still have a commit on its way.
    if (((await tx.get<number>(cursorKey)) ?? 0) !== offset) return;
    tx.set(cursorKey, offset + 1);
    tx.set(["count", id], ((await tx.get<number>(["count", id])) ?? 0) + 1);
  });
}

const correctFollower = follower("topic consumer", stepAtomically);

export const cursorFirst: PlantedBug = {
  name: "cursor-before-effect",
  what: "a consumer commits its offset before it has handled the record, and dies",
  within: 20,
  correct: correctFollower,
  planted: follower("topic consumer, cursor first", async (node, offset, id) => {
    await advance(node, offset);
    await count(node, id);
  }),
};

export const cursorLast: PlantedBug = {
  name: "cursor-after-effect",
  what: "a consumer commits its offset in a commit after that of the record's effect, and handles the record again after a crash",
  within: 20,
  correct: correctFollower,
  planted: follower("topic consumer, cursor last", async (node, offset, id) => {
    await count(node, id);
    await advance(node, offset);
  }),
};
