import assert from "node:assert/strict";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import type { Entry } from "../index.ts";

/**
 * Watches over a connection that breaks: what an observer holds after each array is a state of the range that existed, never an earlier one than before; and in the end
 * it is the last one.
 */
export const watch: Scenario = {
  name: "watch",
  faults: ["engine", "network", "process", "code"],
  nodes: { observer: { count: 2, start: observe } },
  workload: {
    clients: 3,
    operations: 20,
    think: 60,
    setup: ({ state }) => {
      state.set("observers", new Map());
    },
    operation: change,
  },
  invariants: { "observers hold states that existed, in their order": ordered },
  eventually: { "observers hold the last state": last },
};

interface Observer {
  readonly held: Map<string, string>;
  /** Texts of the states held, one after the other. */
  readonly states: string[];
}

type State = World["state"];
const observers = (state: State) => state.get("observers") as Map<string, Observer>;

/** Every commit sets or deletes several keys at once and appends what it did to a log, which tells the order of the states. */
async function change({ engine, name, operation, runtime }: SimulatedClient): Promise<void> {
  const keys = ["a", "b", "c", "d"].filter(() => runtime.random.next() < 0.5);
  if (keys.length === 0) return;
  const value = `${name}.${operation}`;
  const sets = keys.filter(() => runtime.random.next() < 0.7);
  await engine.kv.commit({
    mutations: [
      ...keys.map((key) => (sets.includes(key) ? { set: ["watched", key], value } : { delete: ["watched", key] })),
      { append: "changes", records: [{ value, sets, deletes: keys.filter((key) => !sets.includes(key)) }] },
    ],
  });
}

/** All states of the range, in order, from the log of the changes. */
async function statesOf({ engine }: World): Promise<string[]> {
  const held = new Map<string, string>();
  const states = [textOf(held)];
  type Done = { readonly value: string; readonly sets: string[]; readonly deletes: string[] };
  for (const { value: done } of await engine.log.read<Done>("changes", { limit: 10_000 })) {
    for (const key of done.sets) held.set(key, done.value);
    for (const key of done.deletes) held.delete(key);
    states.push(textOf(held));
  }
  return states;
}

function textOf(held: ReadonlyMap<string, string>): string {
  return [...held].sort(([a], [b]) => (a < b ? -1 : 1)).join(" ");
}

async function ordered(world: World): Promise<void> {
  const states = await statesOf(world);
  for (const [name, { states: seen }] of observers(world.state)) {
    let from = 0;
    for (const [i, text] of seen.entries()) {
      const at = states.indexOf(text, from);
      assert.ok(at >= 0, `state ${i} of ${name}, "${text}", did not exist after the one that it held before`);
      from = at;
    }
  }
}

async function last(world: World): Promise<boolean> {
  const entries: Entry<string>[] = await Array.fromAsync(world.engine.kv.list<string>({ prefix: ["watched"] }));
  const text = textOf(new Map(entries.map(({ key, value }) => [String(key[1]), value])));
  return [...observers(world.state).values()].every(({ states }) => states.at(-1) === text);
}

function observe({ engine, name, state }: SimulatedNode): void {
  const begin = (): Observer => {
    const observer: Observer = { held: new Map(), states: [] };
    observers(state).set(name, observer);
    return observer;
  };
  void (async () => {
    for (;;) {
      const { held, states } = begin();
      try {
        for await (const changes of engine.kv.watch<string>({ prefix: ["watched"] })) {
          for (const each of changes) {
            if (each.deleted) held.delete(String(each.key[1]));
            else held.set(String(each.key[1]), each.value);
          }
          states.push(textOf(held));
        }
      } catch (error) {
        if ((error as { retryable?: boolean }).retryable !== true) throw error;
      }
    }
  })();
}
