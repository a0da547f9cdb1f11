import type { Engine } from "../../src/engine/index.ts";
import type { KeyRange } from "../../src/index.ts";
import { type RecordValue, type Transfer, textOf } from "./workload.ts";

/** All that the writers left in the store, read while none of them writes. */
export interface Snapshot {
  /** By `writer/lane`: the four values, `undefined` where absent. */
  readonly batches: ReadonlyMap<string, readonly (number | undefined)[]>;
  readonly shared: readonly Stamped[];
  readonly records: readonly Placed<RecordValue>[];
  /** By `writer/lane`. */
  readonly appended: ReadonlyMap<string, number>;
  readonly balances: readonly number[];
  /** By `writer/lane/seq`. */
  readonly transfers: ReadonlyMap<string, Transfer>;
  readonly transferCount: number;
  readonly transferred: readonly Placed<{ writer: string; lane: string; seq: number }>[];
  /** By `writer/lane`. */
  readonly counts: ReadonlyMap<string, number>;
  readonly total: number;
}

/** Who wrote a shared key, as `writer/lane`, in which write, whether its text is of that write, and its version. */
export interface Stamped {
  readonly by: string;
  readonly seq: number;
  readonly whole: boolean;
  readonly version: string;
}

export interface Placed<V> {
  readonly offset: number;
  readonly value: V;
}

export async function readSnapshot(engine: Engine): Promise<Snapshot> {
  const batches = new Map<string, (number | undefined)[]>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["batch"] })) {
    const name = `${key[1]}/${key[2]}`;
    const values = batches.get(name) ?? Array.from({ length: 4 }, () => undefined);
    values[key[3] as number] = value;
    batches.set(name, values);
  }
  const shared: Stamped[] = [];
  for await (const { value, version } of engine.kv.list<[string, string, number, string]>({ prefix: ["shared"] })) {
    const [writer, lane, seq, text] = value;
    shared.push({ by: `${writer}/${lane}`, seq, whole: text === textOf(seq), version });
  }
  const balances = await readMap<number>(engine, { prefix: ["account"] });
  return {
    batches,
    shared,
    records: await readTopic(engine, "records"),
    appended: await readMap(engine, { prefix: ["appended"] }),
    balances: [...balances.values()],
    transfers: await readMap(engine, { prefix: ["transfer"] }),
    transferCount: (await engine.kv.get<number>(["transfers"]))?.value ?? 0,
    transferred: await readTopic(engine, "transferred"),
    counts: await readMap(engine, { prefix: ["count"] }),
    total: (await engine.kv.get<number>(["total"]))?.value ?? 0,
  };
}

async function readMap<V>(engine: Engine, range: KeyRange): Promise<Map<string, V>> {
  const found = new Map<string, V>();
  for await (const { key, value } of engine.kv.list<V>(range)) found.set(key.slice(1).join("/"), value);
  return found;
}

/** Every record kept, wherever the engine says that it lies. */
async function readTopic<V>(engine: Engine, topic: string): Promise<Placed<V>[]> {
  const found: Placed<V>[] = [];
  for (let from = 0; ; ) {
    const page = await engine.log.read<V>(topic, { from });
    for (const { offset, value } of page) found.push({ offset, value });
    const last = page.at(-1);
    if (!last) return found;
    from = last.offset + 1;
  }
}
