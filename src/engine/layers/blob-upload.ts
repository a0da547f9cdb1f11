import { type AshlarError, UnavailableError } from "../../core/index.ts";
import type { Check, Kv, Mutation, Version } from "../contract.ts";
import { discard, type Upload } from "./blob-garbage.ts";
import { seal } from "./chunks.ts";

export interface BlobUploadOptions {
  readonly kv: Kv;
  /** Names the chunks. */
  readonly id: string;
  /** The engine's clock. */
  readonly now: () => Promise<number>;
  readonly signal: AbortSignal | undefined;
}

/** Chunks under way at once: the source is read further only as they arrive. */
const inFlight = 4;

/** Chunks on their way to becoming an object. Until it is published nothing refers to them but the upload's own record. */
export class BlobUpload {
  readonly id: string;
  readonly #options: BlobUploadOptions;
  readonly #writing = new Set<Promise<void>>();
  #count = 0;
  #version: Version | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: BlobUploadOptions) {
    this.id = options.id;
    this.#options = options;
  }

  /** Chunks added so far. */
  get count(): number {
    return this.#count;
  }

  /** Writes the next chunk; resolves when there is room for another. */
  async add(bytes: Uint8Array): Promise<void> {
    const { kv, now, signal } = this.#options;
    const n = this.#count++;
    const record: Upload = { chunks: this.#count, at: await now() };
    // The record is written with the chunk, in the same commit: no chunk is without one. Commits of one client keep their order.
    const mutations: Mutation[] = [
      { set: ["upload", this.id], value: record },
      { set: ["chunk", this.id, n], value: seal(bytes) },
    ];
    const write = kv.commit({ mutations }, signal ? { signal } : {}).then(
      ({ version }) => {
        if (n === this.#count - 1) this.#version = version;
      },
      (error) => {
        this.#failure ??= { error };
      },
    );
    this.#writing.add(write);
    write.finally(() => this.#writing.delete(write)).catch(() => {});
    if (this.#writing.size >= inFlight) await Promise.race(this.#writing);
    if (this.#failure) throw this.#failure.error;
  }

  /** Resolves when all chunks are stored. */
  async finish(): Promise<void> {
    await Promise.all(this.#writing);
    if (this.#failure) throw this.#failure.error;
  }

  /** What publishing commits: the upload is over, if nobody took it for abandoned meanwhile. */
  publish(): { readonly checks: Check[]; readonly mutations: Mutation[] } {
    if (this.#count === 0) return { checks: [], mutations: [] };
    const key = ["upload", this.id];
    return { checks: [{ key, version: this.#version }], mutations: [{ delete: key }] };
  }

  /** The error if it was taken for abandoned. */
  collected(): AshlarError {
    return new UnavailableError("the upload made no progress for an hour and was given up; put the object again");
  }

  /** Leaves the chunks to the collector. What cannot be done now, the collector finds out by itself after an hour. */
  async abandon(): Promise<void> {
    if (this.#count === 0) return;
    const { kv, now } = this.#options;
    await Promise.allSettled(this.#writing);
    const key = ["upload", this.id];
    try {
      const entry = await kv.get(key);
      if (!entry) return;
      await kv.tryCommit({ checks: [{ key, version: entry.version }], mutations: [{ delete: key }, discard({ id: this.id, chunks: this.#count }, await now())] });
    } catch {
      // The store is away, or closed.
    }
  }
}
