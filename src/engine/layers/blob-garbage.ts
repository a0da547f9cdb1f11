import type { Entry, Kv, Mutation } from "../contract.ts";

/** What is to be removed: the chunks of an object that was replaced, deleted, or never finished. */
export interface Garbage {
  readonly id: string;
  readonly chunks: number;
}

/** An upload that has not been published. */
export interface Upload {
  /** Chunks that may exist. */
  readonly chunks: number;
  /** When it last made progress, on the engine's clock. */
  readonly at: number;
}

/** Readers of an object that was replaced meanwhile may finish within this time. */
export const graceMs = 60_000;

/** An upload that makes no progress for so long was left behind by a process that is gone. */
const abandonedMs = 60 * 60 * 1000;

/** Chunks removed in one call at most. */
const mostChunks = 64;

/** The record by which the chunks will be removed, not before `due`. */
export function discard({ id, chunks }: Garbage, due: number): Mutation {
  return { set: ["garbage", Math.floor(due), id], value: chunks };
}

/**
 * Removes some of what is due, at most 64 chunks, so that no caller pays for all the others.
 * @param now the engine's clock
 * @returns chunks removed
 */
export async function collect(kv: Kv, now: number): Promise<number> {
  await abandonUploads(kv, now);
  let removed = 0;
  for await (const entry of kv.list<number>({ prefix: ["garbage"], end: ["garbage", Math.floor(now) + 1] }, { limit: 8 })) {
    removed += await removeChunks(kv, entry, mostChunks - removed);
    if (removed >= mostChunks) break;
  }
  return removed;
}

async function removeChunks(kv: Kv, entry: Entry<number>, most: number): Promise<number> {
  const id = entry.key[2] as string;
  const count = Math.min(entry.value, most);
  const left = entry.value - count;
  const chunks = Array.from({ length: count }, (_, i): Mutation => ({ delete: ["chunk", id, left + i] }));
  const record: Mutation = left === 0 ? { delete: entry.key } : { set: entry.key, value: left };
  // Another client may be at the same work: then it is done already.
  const result = await kv.tryCommit({ checks: [{ key: entry.key, version: entry.version }], mutations: [...chunks, record] });
  return result.ok ? count : 0;
}

async function abandonUploads(kv: Kv, now: number): Promise<void> {
  for await (const { key, value, version } of kv.list<Upload>({ prefix: ["upload"] }, { limit: 8 })) {
    if (value.at > now - abandonedMs) continue;
    const mutations: Mutation[] = [{ delete: key }, discard({ id: key[1] as string, chunks: value.chunks }, now)];
    await kv.tryCommit({ checks: [{ key, version }], mutations });
  }
}
