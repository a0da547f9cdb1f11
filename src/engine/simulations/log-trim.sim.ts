import assert from "node:assert/strict";
import { isAshlarError } from "../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import type { LogRecord } from "../index.ts";
import { keysOnlyServer } from "./keys-only-server.sim.ts";

/**
 * A log over keys that is trimmed while it is appended to, packed and read: what is kept stays as it was, offsets are never given twice, and readers miss only what was
 * trimmed.
 */
export const logTrim: Scenario = {
  name: "log over keys: trim",
  faults: ["engine", "network", "process", "code"],
  nodes: { reader: { count: 2, start: follow } },
  engine: keysOnlyServer,
  workload: {
    clients: 3,
    operations: 25,
    think: 60,
    setup: ({ state }) => {
      state.set("records", new Map());
      state.set("trimmed", 0);
      state.set("tails", new Map());
    },
    operation: act,
  },
  invariants: { "what is kept is as it was appended": kept, "readers miss only what was trimmed": followed },
  eventually: { "every reader reaches the end": reached },
};

interface Tail {
  readonly seen: LogRecord<string>[];
}

type State = World["state"];
/** Every record ever seen at an offset. */
const recordsOf = (state: State) => state.get("records") as Map<number, string>;
const tails = (state: State) => state.get("tails") as Map<string, Tail>;

async function act({ engine, name, operation, runtime, state }: SimulatedClient): Promise<void> {
  if (runtime.random.next() < 0.25) {
    const { first, next } = await engine.log.bounds("topic");
    const before = first + Math.floor(runtime.random.next() * (next - first + 1));
    // A trim whose answer is lost may have been done.
    state.set("trimmed", Math.max(state.get("trimmed") as number, before));
    await engine.log.trim("topic", before);
    return;
  }
  const size = 1 + Math.floor(runtime.random.next() * 40);
  const values = Array.from({ length: size }, (_, i) => `${name}.${operation}.${i}`);
  const offset = await engine.log.append("topic", values);
  for (const [i, value] of values.entries()) note(state, offset + i, value);
}

/** An offset has one record, whoever tells of it. */
function note(state: State, offset: number, value: string): void {
  const known = recordsOf(state).get(offset);
  assert.ok(known === undefined || known === value, `offset ${offset} is ${known} and ${value}`);
  recordsOf(state).set(offset, value);
}

async function kept(world: World): Promise<void> {
  const { first, next } = await world.engine.log.bounds("topic");
  const highest = Math.max(-1, ...recordsOf(world.state).keys());
  assert.ok(first <= (world.state.get("trimmed") as number), `trimmed up to ${first}, which nobody asked for`);
  assert.ok(next > highest, `the next offset is ${next}, and ${highest} was given`);
  const records = await world.engine.log.read<string>("topic", { limit: 100_000, bytes: 100_000_000 });
  assert.deepEqual([records.length, records[0]?.offset ?? first], [next - first, first]);
  for (const { offset, value } of records) note(world.state, offset, value);
}

function follow({ engine, name, state }: SimulatedNode): void {
  const seen: LogRecord<string>[] = [];
  tails(state).set(name, { seen });
  void (async () => {
    for (;;) {
      try {
        const from = (seen.at(-1)?.offset ?? -1) + 1;
        for await (const records of engine.log.tail<string>("topic", { from, limit: 10 })) seen.push(...records);
      } catch (error) {
        if (!isAshlarError(error) || !error.retryable) throw error;
      }
    }
  })();
}

async function followed({ state }: World): Promise<void> {
  for (const [name, { seen }] of tails(state)) {
    let next = 0;
    for (const { offset, value } of seen) {
      assert.ok(offset >= next, `${name} saw ${offset} after ${next - 1}`);
      // A gap is what was trimmed before the reader came there.
      if (offset > next)
        assert.ok(offset <= (state.get("trimmed") as number), `${name} missed ${next} to ${offset - 1}`);
      note(state, offset, value);
      next = offset + 1;
    }
  }
}

async function reached({ engine, state }: World): Promise<boolean> {
  const { first, next } = await engine.log.bounds("topic");
  return [...tails(state).values()].every(({ seen }) => (seen.at(-1)?.offset ?? -1) + 1 >= next || next === first);
}
