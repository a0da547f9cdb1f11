import { OverloadedError, throwIfAborted } from "../../core/index.ts";
import type { Limits } from "../../engine/index.ts";

interface Pending<R> {
  readonly record: R;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Records of one commit at most. */
const mostRecords = 5000;
/** What may wait in memory: whoever does not await what it adds is refused beyond that. */
const mostPending = 100_000;
const mostPendingBytes = 64 * 1024 * 1024;

/** Joins what is written one by one: records that come in one turn of the event loop, or while a commit is under way, share the next. In the order of their coming. */
export class Batcher<R> {
  readonly #limits: Limits;
  readonly #commit: (records: readonly R[]) => Promise<void>;
  #pending: Pending<R>[] = [];
  #bytes = 0;
  #flushing = false;

  constructor(limits: Limits, commit: (records: readonly R[]) => Promise<void>) {
    this.#limits = limits;
    this.#commit = commit;
  }

  /**
   * Resolves when the record is durable. A signal withdraws it only before this is called.
   * @throws OverloadedError too much waits in this process to be written
   */
  add(record: R, bytes: number, signal?: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      throwIfAborted(signal);
      if (this.#pending.length >= mostPending || this.#bytes + bytes > mostPendingBytes) {
        throw new OverloadedError(
          `${this.#pending.length} records (${this.#bytes} bytes) wait in this process to be written: await some of them before adding more`,
          { details: { records: this.#pending.length, bytes: this.#bytes } },
        );
      }
      this.#bytes += bytes;
      this.#pending.push({ record, bytes, resolve, reject });
      if (!this.#flushing) void this.#flush();
    });
  }

  /** Writes the records in order; each commit as large as it may be. */
  async addAll(
    records: readonly { readonly record: R; readonly bytes: number }[],
    signal?: AbortSignal,
  ): Promise<void> {
    for (let i = 0; i < records.length; ) {
      throwIfAborted(signal);
      const part = this.#part(records.slice(i, i + this.#most));
      await this.#commit(part.map(({ record }) => record));
      i += part.length;
    }
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    await undefined;
    while (this.#pending.length > 0) {
      const part = this.#part(this.#pending.slice(0, this.#most));
      this.#pending.splice(0, part.length);
      for (const { bytes } of part) this.#bytes -= bytes;
      try {
        await this.#commit(part.map(({ record }) => record));
        for (const { resolve } of part) resolve();
      } catch (error) {
        for (const { reject } of part) reject(error);
      }
    }
    this.#flushing = false;
  }

  get #most(): number {
    return Math.max(1, Math.min(mostRecords, this.#limits.operations - 10));
  }

  /** As many from the beginning as one commit holds. */
  #part<P extends { readonly bytes: number }>(records: readonly P[]): readonly P[] {
    let bytes = 0;
    for (const [i, record] of records.entries()) {
      bytes += record.bytes;
      if (i > 0 && bytes > this.#limits.commitBytes / 2) return records.slice(0, i);
    }
    return records;
  }
}
