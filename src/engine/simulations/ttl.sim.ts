import assert from "node:assert/strict";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";

/** When a key was last written for sure, in true milliseconds before and after, and for how long. */
interface Lease {
  readonly calledAt: number;
  readonly returnedAt: number | undefined;
  readonly ttl: number;
}

/**
 * Entries that live for a while on the engine's clock, whatever the clocks of the machines say: none is seen after its time, none is gone before, and who
 * watches hears of the end.
 */
export const ttl: Scenario = {
  name: "time to live",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { watcher: { count: 2, start: watch } },
  workload: {
    clients: 3,
    operations: 15,
    think: 300,
    setup: ({ state }) => {
      state.set("leases", new Map());
      state.set("watched", new Map());
    },
    operation: lease,
  },
  invariants: { "an entry is there until its time is up, and not after": onTime },
  eventually: {
    "all is gone": async (world) => (await entriesOf(world)).size === 0,
    "watchers have heard of the end": ({ state }) => [...watched(state).values()].every((seen) => seen.size === 0),
  },
};

type State = World["state"];
const leases = (state: State) => state.get("leases") as Map<string, Lease>;
const watched = (state: State) => state.get("watched") as Map<string, Map<string, unknown>>;

async function lease({ engine, name, operation, runtime, state }: SimulatedClient): Promise<void> {
  const key = `${name}.${operation}`;
  const ttl = Math.ceil(10 ** (1 + runtime.random.next() * 3));
  const calledAt = runtime.clock.monotonic();
  leases(state).set(key, { calledAt, returnedAt: undefined, ttl });
  await engine.kv.set(["lease", key], ttl, { ttl });
  leases(state).set(key, { calledAt, returnedAt: runtime.clock.monotonic(), ttl });
}

async function entriesOf({ engine }: World): Promise<Map<string, number | undefined>> {
  const entries = new Map<string, number | undefined>();
  for await (const { key, ttl } of engine.kv.list({ prefix: ["lease"] })) entries.set(String(key[1]), ttl);
  return entries;
}

/** The true clock runs with the engine's and with the clients', whose clocks nothing is wrong with but their dates. */
async function onTime(world: World): Promise<void> {
  const entries = await entriesOf(world);
  for (const [key, { calledAt, returnedAt, ttl }] of leases(world.state)) {
    // A commit that arrives late begins its life late: at most five seconds after its call.
    const latest = (returnedAt ?? calledAt + 8_000) + ttl;
    if (returnedAt !== undefined && world.now < calledAt + ttl)
      assert.ok(entries.has(key), `${key} is gone before its time`);
    if (world.now > latest + 1) assert.ok(!entries.has(key), `${key} is there after its time`);
  }
}

function watch({ engine, name, state }: SimulatedNode): void {
  const seen = new Map<string, unknown>();
  watched(state).set(name, seen);
  void (async () => {
    for (;;) {
      try {
        // A new watch begins with the whole state.
        seen.clear();
        for await (const changes of engine.kv.watch({ prefix: ["lease"] })) {
          for (const change of changes) {
            if (change.deleted) seen.delete(String(change.key[1]));
            else seen.set(String(change.key[1]), change.value);
          }
        }
      } catch (error) {
        if ((error as { retryable?: boolean }).retryable !== true) throw error;
      }
    }
  })();
}
