import type { Engine, LogRecord, Offset } from "../../engine/index.ts";
import type { From } from "./contract.ts";
import { type Compacted, type Kept, keys, partitionTopic } from "./layout.ts";

/** Entries are whole values: so few of them at a time. */
const keptPage = 128;

export interface ReadRecordsOptions {
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** Records from the offset on, with gaps where compaction has taken some out. Empty at the end. */
export async function readRecords(
  engine: Engine,
  partition: number,
  from: Offset,
  options: ReadRecordsOptions = {},
): Promise<LogRecord[]> {
  for (let at = from; ; ) {
    const page = await engine.log.read(partitionTopic(partition), { from: at, ...options });
    if (page[0]?.offset === at) return page;
    // Trimmed, or the end. What compaction took out of the log lies below its mark, which moves before the log is trimmed.
    const mark = await engine.kv.get<Compacted>(keys.compacted(partition), signalOf(options));
    if (mark === undefined || mark.value <= at) return page;
    const kept = await readKept(engine, partition, at, mark.value, options);
    if (kept.length > 0) return kept;
    at = mark.value;
  }
}

async function readKept(
  engine: Engine,
  partition: number,
  from: Offset,
  to: Offset,
  { limit = keptPage, signal }: ReadRecordsOptions,
): Promise<LogRecord[]> {
  const range = { start: keys.keptAt(partition, from), end: keys.keptAt(partition, to) };
  const records: LogRecord[] = [];
  const page = engine.kv.list<Kept>(range, {
    limit: Math.min(limit, keptPage),
    ...(signal && { signal }),
  });
  for await (const { key, value } of page)
    records.push({ offset: key.at(-1) as number, time: value[0], value: value[1] });
  return records;
}

/** Resolves when what lies at the place may have been compacted: a tail of the log would not bring it any more. */
export async function whenCompacted(
  engine: Engine,
  partition: number,
  place: () => Offset,
  signal: AbortSignal,
): Promise<void> {
  for await (const changes of engine.kv.watch<Compacted>({ key: keys.compacted(partition) }, { signal }))
    if (changes.some(({ value }) => value !== undefined && value > place())) return;
}

/** The oldest record kept and the offset that the next record gets. */
export async function boundsOf(engine: Engine, partition: number): Promise<{ first: Offset; next: Offset }> {
  const bounds = await engine.log.bounds(partitionTopic(partition));
  if (bounds.first === 0) return bounds;
  const [oldest] = await readRecords(engine, partition, 0, { limit: 1 });
  return { first: oldest?.offset ?? bounds.next, next: bounds.next };
}

/** The offset that it means now, in a partition. */
export async function offsetOf(engine: Engine, partition: number, from: From): Promise<Offset> {
  const { first, next } = await boundsOf(engine, partition);
  if (from === "start") return first;
  if (from === "end") return next;
  if ("offset" in from) return Math.min(Math.max(first, from.offset), next);
  return await firstSince(engine, partition, first, next, Number(from.time));
}

/** The first record appended at this time or later, by halving. */
export async function firstSince(
  engine: Engine,
  partition: number,
  first: Offset,
  next: Offset,
  time: number,
): Promise<Offset> {
  let low = first;
  let high = next;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await readRecords(engine, partition, middle, { limit: 1 });
    if (record === undefined || record.time >= time) high = middle;
    else low = record.offset + 1;
  }
  return low;
}

function signalOf({ signal }: ReadRecordsOptions): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}
