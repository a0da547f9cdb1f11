import { InvalidStateError, type KeyPart } from "../../core/index.ts";
import type { Engine, LogRecord, Version } from "../../engine/index.ts";
import type { FeedChange, ReadFeedOptions } from "./contract.ts";
import { type Captured, changesTopic, keys } from "./layout.ts";

/**
 * The records as changes, large values fetched.
 * @throws InvalidStateError they have been trimmed meanwhile
 */
export async function toChanges<V>(
  scope: Engine,
  records: readonly LogRecord<Captured>[],
  signal: AbortSignal | undefined,
): Promise<FeedChange<V>[]> {
  const changes: FeedChange<V>[] = [];
  for (const { offset, time, value: captured } of records) {
    const { version, large } = captured;
    const place = { key: [...captured.key] as KeyPart[], offset, time };
    if (version === undefined) {
      changes.push({ ...place, deleted: true });
      continue;
    }
    if (large === undefined) {
      changes.push({ ...place, version: version as Version, value: captured.value as V });
      continue;
    }
    const entry = await scope.kv.get<V>(keys.large(large), signal ? { signal } : {});
    if (entry === undefined) throw trimmed(offset, offset + 1);
    changes.push({ ...place, version: version as Version, value: entry.value });
  }
  return changes;
}

export async function* readFeed<V>(
  scope: Engine,
  options: Omit<ReadFeedOptions, "from"> & { readonly from: number | "end" | undefined },
): AsyncGenerator<FeedChange<V>> {
  const { from, untilNow = false, signal } = options;
  const withSignal = signal ? { signal } : {};
  const { first, next } = await scope.log.bounds(changesTopic, withSignal);
  let at = from === "end" ? next : (from ?? first);
  if (at < first) throw trimmed(at, first);
  if (!untilNow) {
    for await (const records of scope.log.tail<Captured>(changesTopic, { from: at, limit: 256, ...withSignal })) {
      at = expect(records, at);
      yield* await toChanges<V>(scope, records, signal);
    }
    return;
  }
  while (at < next) {
    const read = await scope.log.read<Captured>(changesTopic, { from: at, limit: 256, ...withSignal });
    const records = read.filter(({ offset }) => offset < next);
    if (records.length === 0) throw trimmed(at, next);
    at = expect(records, at);
    yield* await toChanges<V>(scope, records, signal);
  }
}

/** The offset after the records. @throws InvalidStateError the first is not the one that was expected: those before it were trimmed */
export function expect(records: readonly LogRecord[], at: number): number {
  const found = records[0]?.offset ?? at;
  if (found > at) throw trimmed(at, found);
  return (records.at(-1)?.offset ?? at - 1) + 1;
}

function trimmed(from: number, first: number): InvalidStateError {
  return new InvalidStateError(
    `changes from offset ${from} on are not kept any more, the first is ${first}: read the range itself, and go on from the feed's end as it was before`,
    { details: { from, first } },
  );
}
