import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import { type Cache, createCache } from "../index.ts";

interface Row {
  readonly value: number;
  readonly version: number;
}

/** A store of record that refuses what is older than what it has. */
interface Books {
  readonly rows: Map<string, Row>;
  /** By key, every value that ever arrived, in order of arrival. */
  readonly arrived: Map<string, number[]>;
  /** By key, the values whose `set` was acknowledged. */
  readonly accepted: Map<string, number[]>;
}

type State = World["state"];
const booksOf = (state: State) => state.get("books") as Books;

/**
 * Writers that are told "accepted", drainers that crash, stall and lose their ownership, a store of record that fails: whoever had a write accepted reads it or a later one at once; all that was
 * accepted arrives at the store of record, and in the end it has the last accepted value of each key.
 */
export const writeBehind: Scenario = {
  name: "cache write-behind",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { drainer: { count: 2, start: (node) => void open(node.engine, node, true) } },
  workload: {
    clients: 3,
    operations: 20,
    think: 200,
    setup: ({ state }) => {
      state.set("books", { rows: new Map(), arrived: new Map(), accepted: new Map() } satisfies Books);
    },
    operation: write,
  },
  budget: { heal: "180s" },
  eventually: {
    "all that was accepted has arrived": ({ state }) => {
      const { accepted, arrived } = booksOf(state);
      return [...accepted].every(([key, values]) => values.every((value) => arrived.get(key)?.includes(value)));
    },
    "the store of record has the last value of each key": ({ state }) => {
      const { accepted, rows } = booksOf(state);
      return [...accepted].every(([key, values]) => (rows.get(key)?.value ?? 0) >= (values.at(-1) as number));
    },
    "nothing is pending": async ({ engine }) => {
      const pending = await Array.fromAsync(engine.kv.list({ prefix: ["cache", "books", "pending"] }));
      const backlog = await engine.kv.get<number>(["cache", "books", "backlog"]);
      return pending.length === 0 && (backlog?.value ?? 0) === 0;
    },
  },
  invariants: {
    "writes of a key first arrive in their order": ({ state }) => {
      for (const [key, values] of booksOf(state).arrived) {
        const firsts = [...new Set(values)];
        assert.deepEqual(
          firsts,
          firsts.toSorted((a, b) => a - b),
          key,
        );
      }
    },
  },
};

function open(engine: Engine, { runtime, state }: SimulatedNode | SimulatedClient, drain: boolean): Cache<number> {
  const books = booksOf(state);
  return createCache<number>(engine, "books", {
    ttl: "1s",
    loadTimeout: "2s",
    engineTimeout: "400ms",
    write: "behind",
    drain,
    load: (key) => books.rows.get(key)?.value,
    store: async (key, value, { version = -1 }) => {
      await sleep(runtime, runtime.random.next() * 30);
      if (runtime.random.next() < 0.1) throw new Error("the store of record is down");
      if (version >= (books.rows.get(key)?.version ?? -1)) {
        books.rows.set(key, { value, version });
        // What a paused drainer sends late is refused, so it does not count as arriving.
        books.arrived.set(key, [...(books.arrived.get(key) ?? []), value]);
      }
      if (runtime.random.next() < 0.1) throw new Error("the answer of the store of record was lost");
    },
  });
}

/** Each client has keys of its own, so it knows their order. */
async function write(client: SimulatedClient): Promise<void> {
  const { engine, name, operation, runtime, state } = client;
  const { accepted } = booksOf(state);
  const key = `${name}/${operation % 2}`;
  await using cache = open(engine, client, false);
  try {
    await cache.set(key, operation + 1);
    accepted.set(key, [...(accepted.get(key) ?? []), operation + 1]);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
  }
  await sleep(runtime, runtime.random.next() * 300);
  if (runtime.random.next() < 0.3) await cache.invalidate(key).catch(() => {});
  const value = await cache.get(key).catch((error: unknown) => {
    if (isAshlarError(error)) return Number.POSITIVE_INFINITY;
    throw error;
  });
  assert.ok((value ?? 0) >= (accepted.get(key)?.at(-1) ?? 0), `${key} is ${value}, older than what was accepted`);
}
