import type { KeyPart, KeyRange } from "../../core/index.ts";
import type { Entry, Mutation } from "../contract.ts";
import { chunkKey, type GarbageRecord, garbageKey, type UploadRecord } from "./blob-records.ts";
import { type BlobContext, uploadKeptMs } from "./blob-writer.ts";

/**
 * Removes chunks that no object refers to: those of replaced and deleted objects, a minute after that, and of uploads that were broken off. It works in
 * small portions when objects are put or deleted, whichever client does that.
 */
export class BlobCollector {
  readonly #context: BlobContext;
  /** The upload up to which the last portion looked. */
  #lookedUpTo: KeyPart[] | undefined;
  #running: Promise<unknown> | undefined;
  #ended = Number.NEGATIVE_INFINITY;
  #isMoreDue = false;

  constructor(context: BlobContext) {
    this.#context = context;
  }

  /** Does a portion in the background, unless one was done in the last ten seconds and left nothing. */
  nudge(): void {
    const { clock } = this.#context.runtime;
    if (this.#running || (!this.#isMoreDue && clock.monotonic() - this.#ended < everyMs)) return;
    // What fails here is tried again by the next one.
    this.#running = this.collect()
      .catch(() => {})
      .finally(() => {
        this.#running = undefined;
        this.#ended = clock.monotonic();
      });
  }

  /** Does one portion; resolves with the number of chunks removed. */
  async collect(): Promise<number> {
    const now = await this.#context.clock.now();
    await this.#giveUpUploads(now);
    return await this.#removeGarbage(now);
  }

  /** Uploads without progress become garbage. */
  async #giveUpUploads(now: number): Promise<void> {
    const { kv } = this.#context;
    const range: KeyRange = this.#lookedUpTo ? { prefix: ["upload"], after: this.#lookedUpTo } : { prefix: ["upload"] };
    const uploads: Entry<UploadRecord>[] = await Array.fromAsync(
      kv.list<UploadRecord>(range, { limit: uploadsAtOnce }),
    );
    this.#lookedUpTo = uploads.length < uploadsAtOnce ? undefined : uploads.at(-1)?.key;
    for (const { key, value, version } of uploads) {
      if (value.at + uploadKeptMs > now) continue;
      const garbage: GarbageRecord = { from: 0, chunks: value.chunks };
      await kv.tryCommit({
        checks: [{ key, version }],
        mutations: [{ delete: key }, { set: garbageKey(now, key[1] as string), value: garbage }],
      });
    }
  }

  async #removeGarbage(now: number): Promise<number> {
    const range: KeyRange = { prefix: ["garbage"], end: ["garbage", now + 1] };
    const found: Entry<GarbageRecord>[] = await Array.fromAsync(
      this.#context.kv.list<GarbageRecord>(range, { limit: garbageAtOnce }),
    );
    let removed = 0;
    for (const entry of found) {
      removed += await this.#remove(entry, chunksAtOnce - removed);
      if (removed >= chunksAtOnce) break;
    }
    this.#isMoreDue = removed >= chunksAtOnce || found.length === garbageAtOnce;
    return removed;
  }

  /** Removes up to `most` chunks of one piece of garbage, and the record with the last of them. */
  async #remove({ key, value, version }: Entry<GarbageRecord>, most: number): Promise<number> {
    const { kv, limits } = this.#context;
    const id = key[2] as string;
    const perCommit = Math.max(1, Math.min(chunksPerCommit, limits.operations - 2));
    let removed = 0;
    for (let { from } = value; removed < most; ) {
      const to = Math.min(value.chunks, from + perCommit);
      const mutations: Mutation[] = [];
      for (let index = from; index < to; index++) mutations.push({ delete: chunkKey(id, index) });
      const rest: GarbageRecord = { from: to, chunks: value.chunks };
      mutations.push(to < value.chunks ? { set: key, value: rest } : { delete: key });
      // Refused: another client is at it.
      const outcome = await kv.tryCommit({ checks: [{ key, version }], mutations });
      if (!outcome.ok) return removed;
      removed += to - from;
      if (to === value.chunks) return removed;
      from = to;
      version = outcome.version;
    }
    return removed;
  }
}

/** How long chunks of a replaced or deleted object stay, for those who are reading them. */
export const graceMs: number = 60_000;

const everyMs = 10_000;
const uploadsAtOnce = 64;
const garbageAtOnce = 64;
/** Chunks that one portion removes, about. */
const chunksAtOnce = 256;
const chunksPerCommit = 64;
