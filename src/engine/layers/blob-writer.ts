import { createHash } from "node:crypto";
import { type Runtime, raceAbort, TimeoutError, throwIfAborted } from "../../core/index.ts";
import type { Batch, Kv, Limits, Mutation, Version } from "../contract.ts";
import {
  chunkHead,
  chunkKey,
  garbageKey,
  type ObjectRecord,
  sealChunk,
  type UploadRecord,
  uploadKey,
} from "./blob-records.ts";
import type { EngineClock } from "./engine-clock.ts";
import { retry } from "./retries.ts";

/** What all that deals with the objects of a store shares. */
export interface BlobContext {
  /** The private namespace of all objects. */
  readonly kv: Kv;
  readonly limits: Limits;
  readonly runtime: Runtime;
  readonly clock: EngineClock;
}

/**
 * The bytes of one object on their way into the store: cut into chunks under a fresh id, up to four of them in flight. Bytes that turn out to be few are
 * kept for the description instead.
 *
 * Invariant: while chunks are there, the upload's record is there too and says how many there may be; each chunk is written only if the
 * record still is as this writer wrote it.
 */
export class BlobWriter {
  readonly #context: BlobContext;
  readonly #id: string;
  readonly #signal: AbortSignal | undefined;
  readonly #chunkBytes: number;
  readonly #hash = createHash("sha256");
  readonly #inFlight = new InFlight(chunksInFlight);
  /** Called before the first chunk is written. */
  readonly #begin: () => Promise<void>;
  /** The chunk that is being filled. */
  #chunk: Uint8Array = new Uint8Array(0);
  #filled = 0;
  #size = 0;
  #chunks = 0;
  #upload: { readonly version: Version; readonly record: UploadRecord; readonly written: number } | undefined;

  constructor(context: BlobContext, id: string, signal: AbortSignal | undefined, begin: () => Promise<void>) {
    this.#context = context;
    this.#id = id;
    this.#signal = signal;
    this.#begin = begin;
    const { valueBytes, commitBytes, keyBytes } = context.limits;
    this.#chunkBytes = Math.min(largestChunk, valueBytes - 64, commitBytes - 4 * keyBytes - 256);
  }

  async write(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const take = Math.min(piece.length - at, this.#chunkBytes - this.#filled);
      const part = piece.subarray(at, at + take);
      this.#reserve(take);
      this.#chunk.set(part, chunkHead + this.#filled);
      this.#hash.update(part);
      this.#filled += take;
      this.#size += take;
      at += take;
      if (this.#filled === this.#chunkBytes) await this.#flush();
    }
  }

  /** What the description says of the bytes, once all of them are stored. */
  async finish(): Promise<Pick<ObjectRecord, "size" | "sha256" | "chunkBytes" | "inline">> {
    const isSmall = this.#chunks === 0 && this.#filled <= inlineBytes;
    if (!isSmall && this.#filled > 0) await this.#flush();
    await raceAbort(this.#inFlight.drain(), this.#signal);
    const about = { size: this.#size, sha256: this.#hash.digest("hex") };
    if (!isSmall) return { ...about, chunkBytes: this.#chunkBytes };
    return { ...about, chunkBytes: 0, inline: this.#chunk.slice(chunkHead, chunkHead + this.#filled) };
  }

  /** What the commit that publishes the object has to check and to do on behalf of the upload. */
  publication(): Required<Pick<Batch, "checks" | "mutations">> {
    if (!this.#upload) return { checks: [], mutations: [] };
    const key = uploadKey(this.#id);
    return { checks: [{ key, version: this.#upload.version }], mutations: [{ delete: key }] };
  }

  /** Gives the chunks up to be collected, unless they were published. Best effort: what fails here is collected in an hour. */
  async abandon(): Promise<void> {
    await this.#inFlight.drain().catch(() => {});
    if (!this.#upload) return;
    const { version, record } = this.#upload;
    const key = uploadKey(this.#id);
    const due = await this.#context.clock.now();
    await this.#context.kv.tryCommit({
      checks: [{ key, version }],
      mutations: [{ delete: key }, { set: garbageKey(due, this.#id), value: { from: 0, chunks: record.chunks } }],
    });
  }

  #reserve(more: number): void {
    const needed = this.#filled + more;
    if (chunkHead + needed <= this.#chunk.length) return;
    const isSmall = this.#chunks === 0 && needed <= inlineBytes;
    const length = chunkHead + (isSmall ? inlineBytes : this.#chunkBytes);
    // Not cleared, because all that is ever looked at is written before.
    const larger = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    larger.set(this.#chunk.subarray(0, chunkHead + this.#filled));
    this.#chunk = larger;
  }

  async #flush(): Promise<void> {
    throwIfAborted(this.#signal);
    const index = this.#chunks++;
    const value = this.#chunk.subarray(0, chunkHead + this.#filled);
    sealChunk(value, this.#id, index);
    this.#chunk = new Uint8Array(0);
    this.#filled = 0;
    const set: Mutation = { set: chunkKey(this.#id, index), value };
    if (this.#mustRecord(index)) await raceAbort(this.#writeWithRecord(set, index), this.#signal);
    else
      await raceAbort(
        this.#inFlight.add(() => this.#writeChunk(set)),
        this.#signal,
      );
    // An engine that answers without I/O would otherwise keep the event loop to itself.
    if (index % chunksPerTurn === 0)
      await new Promise<void>((resolve) => void this.#context.runtime.timers.immediate(resolve));
  }

  #mustRecord(index: number): boolean {
    if (!this.#upload || index >= this.#upload.record.chunks) return true;
    return this.#context.runtime.clock.monotonic() - this.#upload.written > recordEveryMs;
  }

  /** The record must be there before the chunks that it stands for, and changes only while none are under way. */
  async #writeWithRecord(set: Mutation, index: number): Promise<void> {
    if (!this.#upload) await this.#begin();
    await this.#inFlight.drain();
    const key = uploadKey(this.#id);
    const written = this.#context.runtime.clock.monotonic();
    const record: UploadRecord = { chunks: index + chunksPerRecord, at: await this.#context.clock.now() };
    const checks = [{ key, version: this.#upload?.version }];
    const outcome = await this.#context.kv.tryCommit({ checks, mutations: [{ set: key, value: record }, set] });
    if (!outcome.ok) throw uploadLost();
    this.#upload = { version: outcome.version, record, written };
  }

  async #writeChunk(set: Mutation): Promise<void> {
    const checks = [{ key: uploadKey(this.#id), version: this.#upload?.version }];
    const { kv, runtime } = this.#context;
    const outcome = await retry(runtime, this.#signal, () => kv.tryCommit({ checks, mutations: [set] }));
    if (!outcome.ok) throw uploadLost();
  }
}

/** Objects up to this size lie in their description. */
export const inlineBytes: number = 16 * 1024;
/** An upload that made no progress for so long is given up. */
export const uploadKeptMs: number = 60 * 60 * 1000;

const largestChunk = 128 * 1024;
const chunksInFlight = 4;
const chunksPerTurn = 8;
const chunksPerRecord = 64;
const recordEveryMs = 10 * 60 * 1000;

/** Somebody collected the chunks. */
export function uploadLost(): TimeoutError {
  return new TimeoutError("put: no bytes came for an hour, so what had been stored was given up; put the object again");
}

/** Promises of which only so many may be unsettled. */
class InFlight {
  readonly #most: number;
  readonly #pending: Promise<void>[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Begins the work when there is room. @throws what earlier work failed with */
  async add(work: () => Promise<void>): Promise<void> {
    if (this.#pending.length >= this.#most) await this.#pending.shift();
    const begun = work();
    // Whoever waits for it hears of it; until then it is nobody's unhandled rejection.
    begun.catch(() => {});
    this.#pending.push(begun);
  }

  async drain(): Promise<void> {
    for (let next = this.#pending.shift(); next; next = this.#pending.shift()) await next;
  }
}
