import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../simulation/index.ts";
import { createCache } from "../index.ts";

const keys = ["a", "b"];
const loadTimeoutMs = 3000;

interface Load {
  readonly node: string;
  readonly began: number;
  ended: boolean;
}

type State = World["state"];
const loadsOf = (state: State, key: string) => state.get(`loads ${key}`) as Load[];

/**
 * Many readers of few keys that are soon stale, with processes that die while they load: in the whole cluster one load of a key at a time; one that never ends, because its
 * process died, is replaced when its claim has expired, and not before its time is up. (Processes that are paused may overstay: what they load is refused, which the
 * staleness scenario sees to.)
 */
export const singleFlight: Scenario = {
  name: "cache single flight",
  faults: ["engine", "network", "crash", "code"],
  nodes: { reader: { count: 4, start: read } },
  workload: {
    clients: 1,
    operations: 30,
    think: 250,
    setup: (world) => {
      world.state.set("world", world);
      for (const key of keys) world.state.set(`loads ${key}`, []);
    },
    // Time passes: the readers are the workload.
    operation: () => {},
  },
  eventually: {
    "there were loads after the faults": ({ state }) => keys.every((key) => loadsOf(state, key).at(-1)?.ended === true),
  },
};

function read({ engine, runtime, name, state }: SimulatedNode): void {
  const world = state.get("world") as World;
  const cache = createCache<number>(engine, "products", {
    ttl: 300,
    staleWhileRevalidate: 100,
    loadTimeout: loadTimeoutMs,
    engineTimeout: "300ms",
    onUnavailable: "throw",
    load: async (key) => {
      const loads = loadsOf(state, key);
      const load: Load = { node: name, began: world.now, ended: false };
      for (const other of loads) {
        const age = load.began - other.began;
        const what = `${name} loads ${key} at ${load.began}, ${other.node} since ${other.began}`;
        assert.ok(other.ended || age > loadTimeoutMs, what);
      }
      loads.push(load);
      try {
        await sleep(runtime, runtime.random.next() * 400);
        if (runtime.random.next() < 0.1) throw new Error("the source is down");
        return load.began;
      } finally {
        load.ended = true;
      }
    },
  });
  for (let i = 0; i < 3; i++) {
    void (async () => {
      for (;;) {
        await sleep(runtime, runtime.random.next() * 60);
        try {
          await cache.get(keys[Math.floor(runtime.random.next() * keys.length)] as string);
        } catch (error) {
          if (!isAshlarError(error) && (error as Error).message !== "the source is down") throw error;
        }
      }
    })();
  }
}
