import assert from "node:assert/strict";
import { sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { type BatchContext, createStream, type Stream, type StreamRecord } from "../index.ts";

/**
 * Clients append records of a few keys; the members of a group copy them into another stream, and note each record. Members fail, come and go, die, stand still beyond the time to live
 * of their lease, or are cut off; partitions change hands all the time. Now and then one of the streams is laid out anew.
 *
 * Invariants: no record is in the stream twice; each takes effect at most once, and in the order of its partition; at all times the copy holds exactly what has taken effect, in the order of each key, and what has taken effect
 * of a key is the beginning of what was appended of it, over all layouts. Afterwards every record has taken effect exactly once, and the copy is complete.
 */
export const stream: Scenario = {
  name: "stream",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { member: { count: 3, start: consume } },
  workload: { clients: 3, operations: 24, think: 600, setup, operation },
  budget: { faults: "25s", heal: "150s" },
  invariants: {
    "records take effect once at most, in the order of their partition": inOrder,
    "the copy is what has taken effect, in the order of each key": exactCopy,
  },
  eventually: {
    "every record has taken effect, and the copy is complete": complete,
  },
};

const group = "copiers";

function open(engine: Engine): { readonly source: Stream<string>; readonly copy: Stream<string> } {
  return {
    source: createStream<string>(engine, "source", { partitions: 4 }),
    copy: createStream<string>(engine, "copy", { partitions: 2 }),
  };
}

function setup({ state }: World): void {
  state.set("appended", new Set());
  state.set("number", 0);
}

function consume(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const { source, copy } = open(engine);
  void (async () => {
    for (;;) {
      const consumer = source.consume(group, (records, context) => handle(node, copy, records, context), {
        batch: 5,
        lease: "2s",
        drain: "500ms",
        retry: { attempts: 1000, base: 20, cap: 500 },
      });
      await sleep(runtime, 1000 + runtime.random.next() * 10_000);
      await consumer.close();
    }
  })();
}

async function handle(
  { runtime }: SimulatedNode,
  copy: Stream<string>,
  records: readonly StreamRecord<string>[],
  { tx, signal, partition }: BatchContext,
): Promise<void> {
  const { random } = runtime;
  if (random.next() < 0.2) await sleep(runtime, random.next() * (random.next() < 0.1 ? 4000 : 100), { signal });
  if (random.next() < 0.1) throw new Error("flaky");
  tx.append(
    ["effects", partition],
    records.map(({ value }) => value),
  );
  await copy.appendMany(
    records.map(({ value, key }) => ({ value, ...(key !== undefined && { key }) })),
    { tx },
  );
  if (random.next() < 0.1) throw new Error("flaky after its writes");
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const { source } = (state.get(`streams ${client.name}`) ?? open(engine)) as ReturnType<typeof open>;
  if (!state.has(`streams ${client.name}`)) state.set(`streams ${client.name}`, { source });
  if (random.next() < 0.04) return await source.repartition(1 + Math.floor(random.next() * 8));
  if (random.next() < 0.02)
    return await createStream<string>(engine, "copy").repartition(1 + Math.floor(random.next() * 4));
  const appended = state.get("appended") as Set<string>;
  const values = Array.from({ length: 1 + Math.floor(random.next() * 4) }, () => {
    const number = state.get("number") as number;
    state.set("number", number + 1);
    return `${number}/${client.name}`;
  });
  const key = random.next() < 0.8 ? { key: `k${Math.floor(random.next() * 5)}` } : {};
  if (random.next() < 0.3) {
    await engine.transact(async (tx) => {
      tx.set(["told", client.name], values.length);
      await source.appendMany(
        values.map((value) => ({ value, ...key })),
        { tx },
      );
    });
  } else if (values.length > 2) await source.appendMany(values.map((value) => ({ value, ...key })));
  else await Promise.all(values.map((value) => source.append(value, key)));
  for (const value of values) appended.add(value);
}

async function all(engine: Engine, topic: readonly (string | number)[]): Promise<unknown[]> {
  const values: unknown[] = [];
  for (;;) {
    const records = await engine.log.read([...topic], { from: values.length });
    if (records.length === 0) return values;
    values.push(...records.map(({ value }) => value));
  }
}

/** The partitions of all layouts, in their order. */
async function partitionsOf(engine: Engine, stream: string): Promise<number[]> {
  const layouts = await engine.scope("stream", stream).kv.get<readonly (readonly [number, number])[]>(["partitions"]);
  const [first, count] = layouts?.value.at(-1) ?? [0, 0];
  return Array.from({ length: first + count }, (_, partition) => partition);
}

async function inOrder({ engine }: World): Promise<void> {
  const scope = engine.scope("stream", "source");
  for (const partition of await partitionsOf(engine, "source")) {
    const effects = await all(engine, ["effects", partition]);
    const records = (await all(scope, ["partition", partition])).map((record) => (record as [string])[0]);
    assert.deepEqual(
      effects,
      records.slice(0, effects.length),
      `the effects of partition ${partition} are no prefix of it`,
    );
    const position = (await scope.kv.get<number>(["position", group, partition]))?.value ?? 0;
    assert.equal(effects.length, position, `partition ${partition} stands at ${position}`);
  }
}

/** By key; what has none is in no order. */
function byKey(records: readonly unknown[]): Map<string, string[]> {
  const lists = new Map<string, string[]>();
  for (const [value, key = ""] of records as readonly (readonly [string, string?])[]) {
    const list = lists.get(key);
    if (list) list.push(value);
    else lists.set(key, [value]);
  }
  lists.get("")?.sort();
  return lists;
}

async function exactCopy({ engine }: World): Promise<void> {
  const appended: unknown[] = [];
  const effective: unknown[] = [];
  for (const partition of await partitionsOf(engine, "source")) {
    const records = await all(engine.scope("stream", "source"), ["partition", partition]);
    appended.push(...records);
    effective.push(...records.slice(0, (await all(engine, ["effects", partition])).length));
  }
  const values = appended.map((record) => (record as [string])[0]);
  assert.equal(new Set(values).size, values.length, "a record is in the stream twice");
  const whole = byKey(appended);
  const effects = byKey(effective);
  for (const [key, done] of effects)
    if (key !== "")
      assert.deepEqual(done, whole.get(key)?.slice(0, done.length), `the effects of ${key} are no prefix`);
  const copied: unknown[] = [];
  for (const partition of await partitionsOf(engine, "copy"))
    copied.push(...(await all(engine.scope("stream", "copy"), ["partition", partition])));
  assert.deepEqual(byKey(copied), effects, "the copy is not what has taken effect");
}

async function complete(world: World): Promise<boolean> {
  const { engine, state } = world;
  const effects = new Set<unknown>();
  for (const partition of await partitionsOf(engine, "source"))
    for (const value of await all(engine, ["effects", partition])) effects.add(value);
  const copied = new Set<unknown>();
  for (const partition of await partitionsOf(engine, "copy"))
    for (const record of await all(engine.scope("stream", "copy"), ["partition", partition]))
      copied.add((record as [string])[0]);
  for (const value of state.get("appended") as Set<string>) {
    assert.ok(effects.has(value), `${value} has had no effect`);
    assert.ok(copied.has(value), `${value} was not copied`);
  }
  const scope = engine.scope("stream", "source");
  for (const partition of await partitionsOf(engine, "source")) {
    const { next } = await scope.log.bounds(["partition", partition]);
    const position = (await scope.kv.get<number>(["position", group, partition]))?.value ?? 0;
    assert.equal(position, next, `partition ${partition} is not consumed`);
  }
  return true;
}
