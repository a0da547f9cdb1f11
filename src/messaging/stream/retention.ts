import { encodeValue } from "../../core/index.ts";
import type { Engine, Offset } from "../../engine/index.ts";
import { keys, partitionTopic, type Trimmed } from "./layout.ts";
import type { RetentionSettings } from "./options.ts";
import { firstSince } from "./reading.ts";

export function isBounded({ time, records, bytes }: RetentionSettings): boolean {
  return time !== undefined || records !== undefined || bytes !== undefined;
}

/** Forgets the records of a partition that are beyond one of the bounds. Harmless when several do it at once. */
export async function trimPartition(engine: Engine, partition: number, retention: RetentionSettings): Promise<void> {
  const topic = partitionTopic(partition);
  const { first, next } = await engine.log.bounds(topic);
  let before = first;
  if (retention.records !== undefined) before = Math.max(before, next - retention.records);
  if (retention.time !== undefined) {
    const horizon = (await engine.now()) - retention.time;
    before = Math.max(before, await firstSince(engine, partition, first, next, horizon));
  }
  if (retention.bytes !== undefined)
    before = Math.max(before, await overSize(engine, partition, before, next, retention.bytes));
  if (before > first) await engine.log.trim(topic, before);
}

/** What a record counts for. */
export function bytesOf(record: unknown): number {
  return encodeValue(record).length;
}

/**
 * Where the kept records begin that fit. What has been appended is counted as it comes; what goes is read once more, to count it off. The mark is moved before the records go: if this
 * process dies in between, the next trim begins at the mark.
 */
async function overSize(engine: Engine, partition: number, at: Offset, next: Offset, most: number): Promise<Offset> {
  const [appended, mark] = await engine.kv.getMany([keys.appended(partition), keys.trimmed(partition)]);
  const before = (mark?.value as Trimmed | undefined) ?? { to: 0, bytes: 0 };
  const total = (appended?.value as number | undefined) ?? 0;
  let { to, bytes } = before;
  while (to < next && (to < at || total - bytes > most)) {
    const records = await engine.log.read(partitionTopic(partition), { from: to });
    const last = records.at(-1);
    if (last === undefined) break;
    for (const { offset, value } of records) {
      if (offset >= at && total - bytes <= most) break;
      bytes += bytesOf(value);
      to = offset + 1;
    }
  }
  if (to === before.to) return to;
  const outcome = await engine.kv.tryCommit({
    checks: [{ key: keys.trimmed(partition), version: mark?.version }],
    mutations: [{ set: keys.trimmed(partition), value: { to, bytes } satisfies Trimmed }],
  });
  return outcome.ok ? to : before.to;
}
