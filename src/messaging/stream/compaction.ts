import type { Engine, LogRecord, Offset, Transaction } from "../../engine/index.ts";
import {
  type Compacted,
  type Forgotten,
  type Kept,
  keys,
  type Latest,
  partitionTopic,
  type StoredRecord,
} from "./layout.ts";
import { earlierThan, type Layouts } from "./layouts.ts";
import type { CompactionSettings } from "./options.ts";
import { bytesOf } from "./retention.ts";

/** Records of one commit of a compaction; each may need five operations. */
const foldPage = 200;
const operationsEach = 5;

/**
 * Moves the records of a partition that are old enough out of the log into keys, one for each key of theirs: what is superseded goes. Each record is moved once. Harmless when several do it at once.
 */
export async function compactPartition(
  engine: Engine,
  layouts: Layouts,
  partition: number,
  settings: CompactionSettings,
): Promise<void> {
  const now = await engine.now();
  const topic = partitionTopic(partition);
  const { first } = await engine.log.bounds(topic);
  const done = (await engine.kv.get<Compacted>(keys.compacted(partition)))?.value ?? 0;
  // Whoever moved them may have died before they were trimmed.
  if (first < done) await engine.log.trim(topic, done);
  for (;;) {
    const to = await fold(engine, partition, now - settings.after);
    if (to === undefined) break;
    await engine.log.trim(topic, to);
  }
  await dropForgotten(engine, layouts, partition, now - settings.tombstones);
}

/** @returns up to where the records may be trimmed; `undefined`: nothing is old enough */
async function fold(engine: Engine, partition: number, horizon: number): Promise<Offset | undefined> {
  return await engine.transact(async (tx) => {
    const from = (await tx.get<Compacted>(keys.compacted(partition))) ?? 0;
    const page = await foldable(engine, partition, from, horizon);
    const last = page.at(-1);
    if (last === undefined) return undefined;
    const latest = new Map(page.map((record) => [keyOf(record), record]));
    const names = [...latest.keys()];
    const before = await tx.getMany<Latest>(names.map(keys.latest));
    const kept = new Map<number, number>();
    const count = (where: number, by: number) => kept.set(where, (kept.get(where) ?? 0) + by);
    for (const [i, key] of names.entries()) {
      const old = before[i];
      // A later layout has a later record of the key, and was compacted first.
      if (old && old[0] > partition) continue;
      if (old) {
        drop(tx, old);
        count(old[0], -1);
      }
      keep(tx, partition, key, latest.get(key) as LogRecord<StoredRecord>);
      count(partition, 1);
    }
    for (const [where, by] of kept) if (by !== 0) tx.add(keys.keeping(where), by);
    tx.set(keys.compacted(partition), last.offset + 1);
    return last.offset + 1;
  });
}

/** As many of the records as one commit can move. */
async function foldable(
  engine: Engine,
  partition: number,
  from: Offset,
  horizon: number,
): Promise<LogRecord<StoredRecord>[]> {
  const limit = Math.min(foldPage, Math.floor((engine.limits.operations - 10) / operationsEach));
  const page = await engine.log.read<StoredRecord>(partitionTopic(partition), { from, limit });
  let bytes = 0;
  const end = page.findIndex(({ time, value }, i) => {
    bytes += bytesOf(value);
    return time > horizon || (i > 0 && bytes > engine.limits.commitBytes / 2);
  });
  return end < 0 ? page : page.slice(0, end);
}

function keep(tx: Transaction, partition: number, key: string, { offset, time, value }: LogRecord<StoredRecord>): void {
  const forgotten = value[0] === null;
  tx.set(keys.keptAt(partition, offset), [time, value] satisfies Kept);
  tx.set(keys.latest(key), (forgotten ? [partition, offset, true] : [partition, offset]) satisfies Latest);
  if (forgotten) tx.set(keys.forgottenAt(partition, offset), [time, key] satisfies Forgotten);
}

function drop(tx: Transaction, [partition, offset, forgotten]: Latest): void {
  tx.delete(keys.keptAt(partition, offset));
  if (forgotten) tx.delete(keys.forgottenAt(partition, offset));
}

/**
 * What says that a key is to be forgotten is forgotten itself after its time; but not while an earlier layout may still bring up an older record of the key.
 */
async function dropForgotten(engine: Engine, layouts: Layouts, partition: number, horizon: number): Promise<void> {
  const range = { prefix: keys.forgotten(partition) };
  for await (const { key: place, value } of engine.kv.list<Forgotten>(range)) {
    const [time, key] = value;
    if (time > horizon || !(await isSettled(engine, layouts, partition))) return;
    const offset = place.at(-1) as number;
    await engine.transact(async (tx) => {
      const latest = await tx.get<Latest>(keys.latest(key));
      if (latest?.[0] !== partition || latest[1] !== offset) return;
      drop(tx, latest);
      tx.delete(keys.latest(key));
      tx.add(keys.keeping(partition), -1);
    });
  }
}

async function isSettled(engine: Engine, layouts: Layouts, partition: number): Promise<boolean> {
  for (const earlier of earlierThan(layouts.all, partition)) {
    const { first, next } = await engine.log.bounds(partitionTopic(earlier));
    if (first < next) return false;
  }
  return true;
}

/** Streams that are compacted take no record without a key. */
function keyOf({ value }: LogRecord<StoredRecord>): string {
  return value[1] ?? "";
}
