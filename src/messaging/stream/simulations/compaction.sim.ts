import assert from "node:assert/strict";
import { type Duration, sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createStream, type Stream, type StreamRecord } from "../index.ts";

/**
 * Clients write the values of a few keys into a compacted stream, forget some, and lay it out anew; nodes compact it all the time, and keep a table of the latest values in a group, which comes and goes and falls behind.
 *
 * Invariants: at all times the stream, read from its start, ends for each key with the record that was appended last; what is kept of a compacted partition is one record of each key at most, and counted right. Afterwards the table is
 * what the stream says.
 */
export const compaction: Scenario = {
  ...scenario("20s"),
  name: "stream compaction",
  eventually: { "the table is what the stream says": tableIsRight },
};

/** The same, with a memory for what is forgotten that is shorter than the group is behind: what was forgotten may stay in its table. */
export const hasty: Scenario = {
  ...scenario("2s"),
  name: "stream compaction, soon forgotten",
  eventually: { "the table holds what the stream says": tableHolds },
};

function scenario(tombstones: Duration): Omit<Scenario, "name"> {
  const open = (engine: Engine) =>
    createStream<string | null>(engine, "s", { partitions: 2, compaction: { after: "1s", tombstones } });
  return {
    faults: ["engine", "network", "process", "clock", "code"],
    nodes: { node: { count: 3, start: (node) => live(node, open(node.engine)) } },
    workload: { clients: 3, operations: 30, think: 600, setup, operation: (client) => operation(client, open) },
    budget: { faults: "25s", heal: "150s" },
    invariants: { "the latest record of each key is there": latestIsThere, "what is kept is kept once": keptOnce },
  };
}

function setup({ state }: World): void {
  state.set("number", 0);
}

function live({ runtime }: SimulatedNode, stream: Stream<string | null>): void {
  const { random } = runtime;
  void (async () => {
    for (;;) {
      await sleep(runtime, random.next() * 3000);
      await stream.trim().catch(() => {});
    }
  })();
  void (async () => {
    for (;;) {
      const consumer = stream.consume("table", (records, { tx }) => fill(records, tx), {
        batch: 4,
        lease: "2s",
        drain: "500ms",
        retry: { attempts: 1000, base: 20, cap: 500 },
      });
      await sleep(runtime, 500 + random.next() * 4000);
      await consumer.close();
      await sleep(runtime, random.next() * 4000);
    }
  })();
}

function fill(records: readonly StreamRecord<string | null>[], tx: Parameters<Parameters<Engine["transact"]>[0]>[0]) {
  for (const [key, last] of new Map(records.map(({ key = "", value }) => [key, value])))
    if (last === null) tx.delete(["table", key]);
    else tx.set(["table", key], last);
}

async function operation(client: SimulatedClient, open: (engine: Engine) => Stream<string | null>): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const stream = (state.get(`stream ${client.name}`) ?? open(engine)) as Stream<string | null>;
  state.set(`stream ${client.name}`, stream);
  if (random.next() < 0.04) return await stream.repartition(1 + Math.floor(random.next() * 4));
  const number = (state.get("number") as number) + 1;
  state.set("number", number);
  const value = random.next() < 0.2 ? null : `${number}`;
  await stream.append(value, { key: `k${Math.floor(random.next() * 6)}`, headers: { number: `${number}` } });
}

/** What a reader from the start would have for each key in the end. Reads what is stored, not what the stream says. */
async function table(engine: Engine): Promise<Map<string, string>> {
  const latest = new Map<string, string>();
  for await (const { key = "", value } of createStream<string | null>(engine, "s").read())
    if (value === null) latest.delete(key);
    else latest.set(key, value);
  return latest;
}

/** Each append also leaves its trace in the log of the engine, which the simulated world keeps in the order of the commits. */
async function latestIsThere({ engine, state }: World): Promise<void> {
  const now = await lastAppended(engine, state);
  assert.deepEqual([...(await table(engine))].toSorted(), [...now].toSorted());
}

/**
 * The model: what this has seen of the partitions' logs, which it reads faster than compaction (of what is a second old at least) may take it away, as it is asked between any two steps.
 */
async function lastAppended(engine: Engine, state: Map<string, unknown>): Promise<Map<string, string>> {
  const scope = engine.scope("stream", "s");
  const seen = (state.get("seen") ?? new Map()) as Map<number, number>;
  const model = (state.get("model") ?? new Map()) as Map<string, string>;
  state.set("seen", seen);
  state.set("model", model);
  const layouts = await scope.kv.get<readonly (readonly [number, number])[]>(["partitions"]);
  const [first, count] = layouts?.value.at(-1) ?? [0, 0];
  for (let partition = 0; partition < first + count; partition++) {
    for (;;) {
      const from = seen.get(partition) ?? 0;
      const records = await scope.log.read<[string | null, string]>(["partition", partition], { from });
      if (records.length === 0) break;
      for (const { offset, value } of records) {
        assert.equal(offset, seen.get(partition) ?? 0, "the model has missed a record");
        seen.set(partition, offset + 1);
        if (value[0] === null) model.delete(value[1]);
        else model.set(value[1], value[0]);
      }
    }
  }
  return model;
}

async function keptOnce({ engine }: World): Promise<void> {
  const scope = engine.scope("stream", "s");
  const keys = new Set<string>();
  const counts = new Map<number, number>();
  for await (const { key, value } of scope.kv.list<readonly [number, readonly [unknown, string]]>({
    prefix: ["kept"],
  })) {
    const partition = Number(key[1]);
    counts.set(partition, (counts.get(partition) ?? 0) + 1);
    assert.ok(!keys.has(value[1][1]), `${value[1][1]} is kept twice`);
    keys.add(value[1][1]);
  }
  for await (const { key, value } of scope.kv.list<number>({ prefix: ["keeping"] }))
    assert.equal(value, counts.get(Number(key[1])) ?? 0, `partition ${key[1]} is said to keep ${value}`);
}

async function tableIsRight({ engine }: World): Promise<boolean> {
  assert.deepEqual([...(await tableOf(engine))].toSorted(), [...(await table(engine))].toSorted());
  return await isConsumed(engine);
}

async function tableHolds({ engine }: World): Promise<boolean> {
  const actual = await tableOf(engine);
  for (const [key, value] of await table(engine)) assert.equal(actual.get(key), value, key);
  return await isConsumed(engine);
}

/** What the group has put together. */
async function tableOf(engine: Engine): Promise<Map<string, string>> {
  const actual = new Map<string, string>();
  for await (const { key, value } of engine.kv.list<string>({ prefix: ["table"] })) actual.set(String(key[1]), value);
  return actual;
}

async function isConsumed(engine: Engine): Promise<boolean> {
  const info = await createStream(engine, "s").groups.info("table");
  assert.equal(info?.lag, 0);
  return true;
}
