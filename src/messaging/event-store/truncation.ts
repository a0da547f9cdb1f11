import { patiently } from "../../coordination/lease/index.ts";
import type { Check, Mutation } from "../../engine/index.ts";
import { isExpected, versionConflict } from "./append.ts";
import type { DomainEvent } from "./contract.ts";
import { countOf, firstOfKey, keys, type StoredRow } from "./layout.ts";
import type { End, Streams } from "./streams.ts";

/** Rows forgotten in one commit at most. */
const atOnce = 200;

/**
 * First the stream is told what it keeps; from then on what lies below does not show, and no snapshot made of it is used. Then the rows go, in ascending order, the last one never: a process
 * that dies meanwhile leaves rows that do not show, which the next truncation removes.
 */
export async function truncate<E extends DomainEvent>(
  streams: Streams<E>,
  stream: string,
  before: number,
  signal: AbortSignal,
): Promise<void> {
  const { engine } = streams;
  await patiently(
    engine,
    () =>
      engine.transact(
        async (tx) => {
          const end = await streams.endIn(tx, stream);
          const to = Math.min(before, end.version + 1);
          if (to <= ((await tx.get<number>(keys.kept(stream))) ?? 1)) return;
          tx.set(keys.kept(stream), to);
          tx.delete(keys.snapshot(stream));
        },
        { signal },
      ),
    signal,
  );
  const kept = await patiently(engine, () => streams.kept(stream, signal), signal);
  while (await patiently(engine, () => sweep(streams, stream, kept, signal), signal));
}

/** Whether there may be more. Harmless when repeated. */
async function sweep<E extends DomainEvent>(
  { engine }: Streams<E>,
  stream: string,
  kept: number,
  signal: AbortSignal,
): Promise<boolean> {
  const limit = Math.min(atOnce, engine.limits.operations - 8, engine.limits.listEntries);
  const rows: { readonly first: number; readonly row: StoredRow; readonly check: Check }[] = [];
  const range = { prefix: keys.rows(stream), end: keys.row(stream, kept) };
  for await (const { key, value, version } of engine.kv.list<StoredRow>(range, { limit, signal }))
    rows.push({ first: firstOfKey(key), row: value, check: { key, version } });
  const checks: Check[] = [];
  const mutations: Mutation[] = [];
  for (const [i, { first, row, check }] of rows.entries()) {
    const end = first + countOf(row);
    const following = rows[i + 1];
    if (end <= kept && (following || (await followed(engine, stream, end, signal)))) {
      mutations.push({ delete: keys.row(stream, first) });
      continue;
    }
    const [time, ids, bodies, forms, metadata] = row;
    if (!bodies || bodies.every((body, k) => body === null || first + k >= kept)) continue;
    const rest = bodies.map((body, k) => (first + k < kept ? null : body));
    const bare = rest.every((body) => body === null);
    checks.push(check);
    mutations.push({
      set: keys.row(stream, first),
      value: [time, ids, rest, forms, bare ? null : metadata] satisfies StoredRow,
    });
  }
  if (mutations.length === 0) return false;
  // A check that does not hold: another truncates, too.
  await engine.kv.tryCommit({ checks, mutations }, { signal });
  return true;
}

async function followed(
  engine: Streams<DomainEvent>["engine"],
  stream: string,
  version: number,
  signal: AbortSignal,
): Promise<boolean> {
  return (await engine.kv.get(keys.row(stream, version), { signal })) !== undefined;
}

/** Leaves a tombstone at the end of the stream, in one commit with forgetting the rest. False: there is no such stream. */
export async function remove<E extends DomainEvent>(
  streams: Streams<E>,
  stream: string,
  expected: number | "any" | "exists",
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { engine } = streams;
  const time = await patiently(engine, () => engine.now({ signal }), signal);
  const end = await patiently(
    engine,
    () =>
      engine.transact(
        async (tx): Promise<End> => {
          const found = await streams.endIn(tx, stream);
          if (found.deleted || found.version === 0 || !isExpected(found.version, expected)) return found;
          const tombstone: StoredRow = [Math.floor(time), id, null, 0, null];
          tx.set(keys.row(stream, found.version + 1), tombstone);
          tx.set(keys.kept(stream), found.version + 2);
          tx.delete(keys.snapshot(stream));
          return { version: found.version + 1, row: found.version + 1, deleted: true };
        },
        { signal },
      ),
    signal,
  );
  streams.heads.forget(stream);
  if (!end.deleted) {
    if (!isExpected(end.version, expected)) throw versionConflict(stream, expected, end.version);
    return false;
  }
  while (await patiently(engine, () => sweep(streams, stream, end.version + 1, signal), signal));
  return true;
}
