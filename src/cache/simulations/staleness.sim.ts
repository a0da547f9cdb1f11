import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import { type Cache, type CacheOptions, createCache } from "../index.ts";

const keys = ["a", "b", "c", "d"];
const maxStaleMs = 1000;
/** Clocks run up to 1 % wrong, and a read is judged to the millisecond. */
const boundMs = maxStaleMs * 1.03 + 2;

/** The source of truth counts each key up; a lower number is older. */
interface Truth {
  readonly values: Map<string, number>;
  /** What was invalidated, with the number that it had by then at least, and when that was acknowledged. */
  readonly acknowledged: { readonly key: string; readonly value: number; readonly at: number }[];
  /** By node and key, what was read last. */
  readonly last: Map<string, number>;
  reads: number;
}

type State = World["state"];
const truthOf = (state: State) => state.get("truth") as Truth;
const worldOf = (state: State) => state.get("world") as World;

/**
 * Readers with copies of their own, a coherent one, and writers that change the source and invalidate, by key, by tag, or everything. Once an invalidation is acknowledged and
 * `maxStale` has passed, nobody reads the older value; the coherent cache, and one without copies, never do. In the end all read what the source has.
 */
export const staleness: Scenario = {
  name: "cache staleness",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { reader: { count: 3, start: read } },
  workload: {
    clients: 2,
    operations: 25,
    think: 250,
    setup: (world) => {
      world.state.set("world", world);
      const truth: Truth = {
        values: new Map(keys.map((key) => [key, 0])),
        acknowledged: [],
        last: new Map(),
        reads: 0,
      };
      world.state.set("truth", truth);
    },
    operation: change,
  },
  eventually: {
    "all read what the source has": ({ state, running }) => {
      const { last, values, reads } = truthOf(state);
      if (running("reader").length < 3 || reads === 0) return false;
      return [...last].every(([name, value]) => values.get(name.split(" ")[2] ?? "") === value);
    },
  },
};

type Kind = "near" | "coherent" | "far";

const options: Readonly<Record<Kind, CacheOptions<number>>> = {
  near: { local: { maxEntries: 3, maxStale: maxStaleMs } },
  coherent: { local: { maxEntries: 3 }, coherent: true },
  far: { staleWhileRevalidate: "2s", refreshAhead: 0.7, staleIfError: "1s" },
};

function open(engine: Engine, kind: Kind, node: SimulatedNode | SimulatedClient): Cache<number> {
  const { runtime, state } = node;
  return createCache<number>(engine, kind, {
    ...options[kind],
    ttl: "4s",
    loadTimeout: "2s",
    engineTimeout: "400ms",
    onUnavailable: kind === "far" ? "load" : "throw",
    tags: (_, key) => [key < "c" ? "early" : "late", key],
    load: async (key) => {
      const value = truthOf(state).values.get(key) as number;
      // What was read is on its way for a while.
      await sleep(runtime, runtime.random.next() < 0.1 ? 1500 : runtime.random.next() * 60);
      if (runtime.random.next() < 0.05) throw new Error("the source is down");
      return value;
    },
  });
}

function read(node: SimulatedNode): void {
  for (const kind of ["near", "coherent", "far"] as const) {
    const cache = open(node.engine, kind, node);
    // Two at once, so that some join the loads of others.
    for (let i = 0; i < 2; i++) void readAll(node, kind, cache);
  }
}

async function readAll({ runtime, name, state }: SimulatedNode, kind: Kind, cache: Cache<number>): Promise<void> {
  const truth = truthOf(state);
  for (;;) {
    await sleep(runtime, runtime.random.next() * 80);
    const key = keys[Math.floor(runtime.random.next() * keys.length)] as string;
    const began = worldOf(state).now;
    let value: number | undefined;
    try {
      value = await cache.get(key);
    } catch (error) {
      if (isAshlarError(error) || (error as Error).message === "the source is down") continue;
      throw error;
    }
    // A direct load without the engine may be one that another caller began, and stale-while-revalidate is asked about what is in the engine.
    const allowance = kind === "near" ? boundMs : 0;
    const strict = kind !== "far" || cache.stats().unavailable === 0;
    for (const { key: of, value: atLeast, at } of strict ? truth.acknowledged : []) {
      if (of !== key || at > began - allowance) continue;
      const late = `${name} read ${key} = ${value} (${kind}) at ${began}, but ${atLeast} was acknowledged at ${at}`;
      assert.ok(value !== undefined && value >= atLeast, late);
    }
    truth.reads++;
    truth.last.set(`${name} ${kind} ${key}`, value as number);
  }
}

/** Changes the source, then tells all caches, until they know. */
async function change(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state } = client;
  const truth = truthOf(state);
  const key = keys[Math.floor(runtime.random.next() * keys.length)] as string;
  const value = (truth.values.get(key) as number) + 1;
  truth.values.set(key, value);
  const how = runtime.random.next();
  for (const kind of ["near", "coherent", "far"] as const) {
    await using cache = open(engine, kind, client);
    for (;;) {
      try {
        if (how < 0.4) await cache.invalidate(key);
        else if (how < 0.7) await cache.invalidateTag(key);
        else if (how < 0.9) await cache.invalidateTag(key < "c" ? "early" : "late");
        else await cache.clear();
        break;
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        await sleep(runtime, 50);
      }
    }
  }
  truth.acknowledged.push({ key, value, at: worldOf(state).now });
}
