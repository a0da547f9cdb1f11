import assert from "node:assert/strict";
import { isAshlarError } from "../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../simulation/index.ts";
import { keysOnlyServer } from "./keys-only-server.sim.ts";

/**
 * The bus as a layer over keys. A subscription gets a message at most once, only those that were published and match, and of those whose publishing was
 * acknowledged the ones of one publisher in their order; and once nothing is wrong any more, messages arrive again.
 */
export const bus: Scenario = {
  name: "bus over keys",
  faults: ["engine", "network", "process", "code"],
  nodes: { listener: { count: 2, start: listen }, beacon: { start: shine } },
  engine: keysOnlyServer,
  workload: {
    clients: 3,
    operations: 15,
    think: 60,
    setup: ({ state }) => {
      state.set("received", new Map());
      state.set("published", new Set());
      state.set("doubtful", new Set());
      state.set("beacon", 0);
    },
    operation: async ({ engine, name, operation, state }) => {
      const subject = operation % 3 === 0 ? "other.thing" : "news.today";
      const message = `${name}.${operation}`;
      if (subject === "news.today") published(state).add(message);
      try {
        await engine.bus.publish(subject, message);
      } catch (error) {
        doubtful(state).add(message);
        throw error;
      }
    },
  },
  invariants: { "what is received was published, matches, comes once and in order": ({ state }) => inOrder(state) },
  eventually: {
    "messages arrive again": ({ state }) => [...received(state).values()].every(({ latest }) => latest >= 3),
  },
};

interface Received {
  readonly messages: string[];
  /** Beacons received in this life. */
  latest: number;
}

type State = World["state"];
const received = (state: State) => state.get("received") as Map<string, Received>;
const doubtful = (state: State) => state.get("doubtful") as Set<string>;
const published = (state: State) => state.get("published") as Set<string>;

async function listen({ engine, name, state }: SimulatedNode): Promise<void> {
  const mine: Received = { messages: [], latest: 0 };
  const subscription = await engine.bus.subscribe<string>("news.*");
  const beacons = await engine.bus.subscribe<number>("beacon");
  received(state).set(name, mine);
  void (async () => {
    for await (const { payload } of subscription) mine.messages.push(payload);
  })();
  void (async () => {
    for await (const _ of beacons) mine.latest++;
  })();
}

/** Goes on for ever, so that there is something to be heard when the faults are over. */
function shine({ engine, runtime, state }: SimulatedNode): void {
  const next = async (): Promise<void> => {
    const number = (state.get("beacon") as number) + 1;
    state.set("beacon", number);
    try {
      await engine.bus.publish("beacon", number);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
    }
    runtime.timers.after(500, () => void next());
  };
  void next();
}

function inOrder(state: State): void {
  for (const [listener, { messages }] of received(state)) {
    const last = new Map<string, number>();
    assert.equal(new Set(messages).size, messages.length, `${listener} received a message twice`);
    for (const message of messages) {
      assert.ok(published(state).has(message), `${listener} received ${message}`);
      if (doubtful(state).has(message)) continue;
      const [publisher = "", number] = message.split(".");
      assert.ok(
        Number(number) > (last.get(publisher) ?? -1),
        `${listener} received ${message} after ${last.get(publisher)}`,
      );
      last.set(publisher, Number(number));
    }
  }
}
