import { isAshlarError, sleep } from "../../src/core/index.ts";
import type { Change } from "../../src/engine/index.ts";
import type { Scenario, SimulatedNode, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";

type View = Map<string, unknown>;

/** How a view follows its watch; resolves when it does so no longer. */
type Follow = (node: SimulatedNode, view: View) => Promise<void>;

/** Nodes hold a view of some keys in memory and keep it up to date by a watch. */
function views(name: string, follow: Follow): Scenario {
  return {
    name,
    faults: ["process", "network", "engine", "code"],
    nodes: {
      view: {
        count: 2,
        start(node) {
          const view: View = new Map();
          (node.state.get("views") as Map<string, View>).set(node.name, view);
          void follow(node, view);
        },
      },
    },
    workload: {
      clients: 3,
      operations: 15,
      setup: ({ state }) => void state.set("views", new Map()),
      async operation({ engine, name: client, operation, runtime }) {
        const key = ["entry", Math.floor(runtime.random.next() * 6)];
        if (runtime.random.next() < 0.4) await engine.transact((tx) => tx.delete(key));
        else await engine.transact((tx) => tx.set(key, `${client}.${operation}`));
      },
    },
    eventually: { "every view is as the store is": upToDate },
  };
}

async function upToDate({ engine, state }: World): Promise<boolean> {
  const entries = await Array.fromAsync(engine.kv.list({ prefix: ["entry"] }));
  return [...(state.get("views") as Map<string, View>).values()].every(
    (view) => view.size === entries.length && entries.every(({ key, value }) => view.get(String(key[1])) === value),
  );
}

/** Begins again with the whole state after each error. */
async function followAgain(node: SimulatedNode, view: View): Promise<void> {
  for (;;) {
    view.clear();
    await followOnce(node, view);
    await sleep(node.runtime, 50);
  }
}

async function followOnce({ engine }: SimulatedNode, view: View): Promise<void> {
  try {
    for await (const changes of engine.kv.watch({ prefix: ["entry"] })) {
      apply(view, changes);
    }
  } catch (error) {
    if (!isAshlarError(error)) throw error;
  }
}

function apply(view: View, changes: readonly Change[]): void {
  for (const { key, deleted, value } of changes) {
    if (deleted) view.delete(String(key[1]));
    else view.set(String(key[1]), value);
  }
}

/** Asks for the state, then for what changes from then on. */
async function listThenListen({ engine, runtime }: SimulatedNode, view: View): Promise<void> {
  for (;;) {
    try {
      view.clear();
      for await (const { key, value } of engine.kv.list({ prefix: ["entry"] })) view.set(String(key[1]), value);
      let isFirst = true;
      for await (const changes of engine.kv.watch({ prefix: ["entry"] })) {
        // The state at the beginning of the watch, which it takes for what it has.
        if (!isFirst) apply(view, changes);
        isFirst = false;
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      await sleep(runtime, 50);
    }
  }
}

const correct = views("watched view", followAgain);

export const watchNotResumed: PlantedBug = {
  name: "watch-not-resumed",
  what: "a watch that has ended by an error is not begun again, and the view stays as it was",
  within: 50,
  correct,
  planted: views("watched view, once", followOnce),
};

export const listThenWatch: PlantedBug = {
  name: "gap-between-list-and-watch",
  what: "the state is listed, then changes are listened for, and what happens between the two is missed",
  within: 50,
  correct,
  planted: views("watched view with a gap", listThenListen),
};
