import { isAshlarError } from "../../core/index.ts";
import type { Engine, Transaction, Version } from "../../engine/index.ts";
import { keys } from "./layout.ts";

/** One build of a projection: what its handler wrote, from an empty beginning, and how far it is. */
export interface Generation {
  readonly number: number;
  /** Of the handler. */
  readonly version: number;
}

/** What stands under `["projection", name]`. Every commit of a projection checks that it is still the same. */
export interface ProjectionRecord {
  /** In use. */
  readonly active: Generation | undefined;
  /** Being built beside it. */
  readonly next: Generation | undefined;
  /** The greatest number given out. */
  readonly last: number;
  /** Out of use, and perhaps not cleared yet. */
  readonly retired: readonly number[];
}

/** What a runner is to do. */
export type Role =
  | { readonly kind: "live" | "building"; readonly generation: Generation; readonly record: ProjectionRecord }
  | { readonly kind: "superseded" };

const empty: ProjectionRecord = { active: undefined, next: undefined, last: 0, retired: [] };

/** The role of a handler of that version: what is in use, or is to be built. */
export async function roleOf(engine: Engine, name: string, version: number, signal: AbortSignal): Promise<Role> {
  return await engine.transact(
    async (tx): Promise<Role> => {
      const record = (await tx.get<ProjectionRecord>(keys.projection(name))) ?? empty;
      const { active, next, last } = record;
      if (active?.version === version) return { kind: "live", generation: active, record };
      if (active && active.version > version) return { kind: "superseded" };
      if (next && next.version > version) return { kind: "superseded" };
      if (active && next?.version === version) return { kind: "building", generation: next, record };
      const generation = { number: last + 1, version };
      // A first generation is in use from the beginning; one that was being built by an older handler is given up.
      const changed: ProjectionRecord = active
        ? { ...record, next: generation, last: last + 1, retired: retiredWith(record, next) }
        : { active: generation, next: undefined, last: last + 1, retired: retiredWith(record, next) };
      tx.set(keys.projection(name), changed);
      return { kind: active ? "building" : "live", generation, record: changed };
    },
    { signal },
  );
}

/** The generation that a rebuild builds: the one under way with that version, or a new one. */
export async function rebuildOf(
  engine: Engine,
  name: string,
  version: number | undefined,
  signal: AbortSignal,
): Promise<Generation> {
  return await engine.transact(
    async (tx): Promise<Generation> => {
      const record = (await tx.get<ProjectionRecord>(keys.projection(name))) ?? empty;
      const { active, next, last } = record;
      const wanted = version ?? active?.version ?? 1;
      if (next?.version === wanted) return next;
      const generation = { number: last + 1, version: wanted };
      tx.set(keys.projection(name), {
        ...record,
        next: generation,
        last: last + 1,
        retired: retiredWith(record, next),
      });
      return generation;
    },
    { signal },
  );
}

/** What a rebuild is to do with its generation now. */
export async function roleIn(
  engine: Engine,
  name: string,
  generation: Generation,
  signal: AbortSignal,
): Promise<Role | { readonly kind: "in place" }> {
  const record = (await engine.kv.get<ProjectionRecord>(keys.projection(name), { signal }))?.value ?? empty;
  if (record.next?.number === generation.number) return { kind: "building", generation, record };
  if (record.active && record.active.number >= generation.number) return { kind: "in place" };
  return { kind: "superseded" };
}

/**
 * Puts the next generation in the place of the active one, if it is as far: the position of the active one is compared by an `add` of nothing with a ceiling, at the instant of the
 * commit. Its runners' commits check the record and find it changed.
 * @returns the record as it is then; `undefined` if it is not as far, or something has changed
 */
export async function swap(
  engine: Engine,
  name: string,
  at: { readonly record: ProjectionRecord; readonly recordVersion: Version; readonly position: number },
  guard: (tx: Transaction) => void,
  signal: AbortSignal,
): Promise<ProjectionRecord | undefined> {
  const { record, recordVersion, position } = at;
  const { active, next } = record;
  if (!next) return undefined;
  const changed: ProjectionRecord = { ...record, active: next, next: undefined, retired: retiredWith(record, active) };
  await using open = engine.begin({ signal });
  guard(open.tx);
  open.tx.check({ key: keys.projection(name), version: recordVersion });
  open.tx.set(keys.projection(name), changed);
  if (active) open.tx.add(keys.checkpoint(name, active.number), 0, { ceiling: position });
  try {
    return (await open.commit({ signal })) ? changed : undefined;
  } catch (error) {
    if (isAshlarError(error, "CONFLICT")) return undefined;
    throw error;
  }
}

/** Forgets what generations out of use have left. Nobody writes to them any more: their commits check the record. */
export async function clearRetired(engine: Engine, name: string, signal: AbortSignal): Promise<void> {
  const record = (await engine.kv.get<ProjectionRecord>(keys.projection(name), { signal }))?.value;
  if (!record || record.retired.length === 0) return;
  const atOnce = Math.min(engine.limits.operations - 8, 500);
  for (const number of record.retired) {
    for (;;) {
      const found: { readonly delete: readonly (string | number | bigint | boolean | Uint8Array)[] }[] = [];
      for await (const { key } of engine.kv.list({ prefix: keys.view(name, number) }, { limit: atOnce, signal }))
        found.push({ delete: key });
      if (found.length > 0) await engine.kv.commit({ mutations: found }, { signal });
      if (found.length < atOnce) break;
    }
    await engine.kv.delete(keys.checkpoint(name, number), { signal });
  }
  const cleared = new Set(record.retired);
  await engine.transact(
    async (tx) => {
      const now = await tx.get<ProjectionRecord>(keys.projection(name));
      if (now) tx.set(keys.projection(name), { ...now, retired: now.retired.filter((each) => !cleared.has(each)) });
    },
    { signal },
  );
}

function retiredWith(record: ProjectionRecord, generation: Generation | undefined): readonly number[] {
  return generation ? [...record.retired, generation.number] : record.retired;
}
