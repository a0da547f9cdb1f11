import assert from "node:assert/strict";
import { isAshlarError } from "../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../simulation/index.ts";
import type { LogRecord } from "../index.ts";
import { keysOnlyServer } from "./keys-only-server.sim.ts";

/** What each tail has handed out since it began. */
type Tails = Map<string, LogRecord<string>[]>;

/**
 * The log as a layer over keys: records appended by several clients, packed behind their backs, followed by tails on machines that crash. Every record
 * that was acknowledged is there once, at the offset that was told; a tail hands out each record once and in order, and comes to the end.
 */
export const log: Scenario = {
  name: "log over keys",
  faults: ["engine", "network", "process", "code"],
  nodes: { reader: { count: 2, start: follow } },
  engine: keysOnlyServer,
  workload: {
    clients: 3,
    operations: 12,
    think: 80,
    setup: ({ state }) => {
      state.set("tails", new Map());
      state.set("acknowledged", new Map());
      state.set("refused", new Set());
    },
    operation: async ({ engine, name, operation, runtime, state }) => {
      const size = 1 + Math.floor(runtime.random.next() * 20);
      const records = Array.from({ length: size }, (_, i) => `${name}.${operation}.${i}`);
      try {
        const offset = await engine.log.append("topic", records);
        for (const [i, record] of records.entries()) acknowledged(state).set(record, offset + i);
      } catch (error) {
        if (isAshlarError(error) && error.definite) for (const record of records) refused(state).add(record);
        throw error;
      }
    },
  },
  invariants: {
    "acknowledged records lie where they were said to, refused ones nowhere": placed,
    "a tail is a part of the log, in order": followed,
  },
  eventually: { "every tail reaches the end": reached },
};

type State = World["state"];
const tails = (state: State) => state.get("tails") as Tails;
const acknowledged = (state: State) => state.get("acknowledged") as Map<string, number>;
const refused = (state: State) => state.get("refused") as Set<string>;

function follow({ engine, name, incarnation, state }: SimulatedNode): void {
  const seen: LogRecord<string>[] = [];
  // Only the tail of the life that goes on has to come to the end.
  for (const other of tails(state).keys()) if (other.startsWith(`${name}/`)) tails(state).delete(other);
  tails(state).set(`${name}/${incarnation}`, seen);
  void (async () => {
    let from = 0;
    for (;;) {
      try {
        for await (const records of engine.log.tail<string>("topic", { from, limit: 7 })) {
          seen.push(...records);
          from = (records.at(-1)?.offset ?? -1) + 1;
        }
      } catch (error) {
        if (!isAshlarError(error) || !error.retryable) throw error;
      }
    }
  })();
}

async function allRecords({ engine }: World): Promise<LogRecord<string>[]> {
  return await engine.log.read<string>("topic", { limit: 100_000, bytes: 100_000_000 });
}

async function placed(world: World): Promise<void> {
  const records = await allRecords(world);
  assert.deepEqual(
    records.map(({ offset }) => offset),
    records.map((_, i) => i),
  );
  assert.equal(new Set(records.map(({ value }) => value)).size, records.length, "a record is there twice");
  for (const [value, offset] of acknowledged(world.state)) assert.equal(records[offset]?.value, value);
  for (const { value } of records) assert.ok(!refused(world.state).has(value), `${value} was refused and is there`);
}

async function followed(world: World): Promise<void> {
  const records = await allRecords(world);
  for (const [name, seen] of tails(world.state)) {
    for (const [i, { offset, value, time }] of seen.entries()) {
      assert.equal(offset, i, `${name} skipped or repeated a record`);
      assert.equal(value, records[i]?.value, `${name} saw another record at ${i}`);
      assert.ok(time >= (seen[i - 1]?.time ?? 0), `${name} saw time go back`);
    }
  }
}

async function reached(world: World): Promise<boolean> {
  const { next } = await world.engine.log.bounds("topic");
  return [...tails(world.state).values()].every((seen) => seen.length === next);
}
