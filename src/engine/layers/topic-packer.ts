import { CorruptionError, concat, toBinaryString } from "../../core/index.ts";
import type { Driver, RawCommit, RawMutation } from "../driver.ts";
import { rowBytes } from "./append-translation.ts";
import type { CommitGate } from "./commit-gate.ts";
import { describeRow, withLeastTime } from "./log-records.ts";
import { encodeHead, encodeIndex, readNewRow, type TopicKeys } from "./topic-keys.ts";
import type { Tail, TopicReader } from "./topic-reader.ts";

/**
 * Moves appends from the tail of a topic into packed rows, behind the back of those who append. Any client may do it at any time: the
 * commit checks the head, so of two at once one does nothing. Left undone it costs readers of the tail, nothing else.
 */
export class TopicPacker {
  readonly #driver: Driver;
  readonly #reader: TopicReader;
  readonly #gate: CommitGate;
  readonly #running = new Map<string, Promise<void>>();
  /** Topics whose tail was far too long when last seen. */
  readonly #behind = new Set<string>();
  /** Bytes that this client appended to each topic since it last packed it. */
  readonly #bytes = new Map<string, number>();
  #closed = false;

  constructor(driver: Driver, reader: TopicReader, gate: CommitGate) {
    this.#driver = driver;
    this.#reader = reader;
    this.#gate = gate;
  }

  /**
   * Packs the topic in the background if these records make it worth while: exactly one append passes each multiple of 64, whichever client
   * it comes from, and no count needs to be kept.
   */
  appended(keys: TopicKeys, first: number, records: readonly Uint8Array[]): void {
    const name = toBinaryString(keys.topic);
    let bytes = this.#bytes.get(name) ?? 0;
    for (const record of records) bytes += record.length;
    const passes = Math.floor(first / tailRecords) !== Math.floor((first + records.length) / tailRecords);
    if (passes || bytes >= rowBytes) {
      // What fails here is tried again after the next 64 records.
      this.pack(keys).catch(() => {});
      return;
    }
    if (this.#bytes.size >= topicsCounted) this.#bytes.clear();
    this.#bytes.set(name, bytes);
  }

  /** Something to wait for before more is appended to the topic, if packing does not keep up. */
  pressure(topic: Uint8Array): Promise<void> | undefined {
    if (this.#behind.size === 0) return undefined;
    const name = toBinaryString(topic);
    return this.#behind.has(name) ? this.#running.get(name)?.catch(() => {}) : undefined;
  }

  /** Packs the topic's tail; resolves when a short one or none is left, or another client is at it. */
  pack(keys: TopicKeys): Promise<void> {
    const name = toBinaryString(keys.topic);
    const running = this.#running.get(name);
    if (running || this.#closed) return running ?? Promise.resolve();
    this.#bytes.delete(name);
    const work = this.#pack(keys, name).finally(() => {
      this.#running.delete(name);
      this.#behind.delete(name);
    });
    this.#running.set(name, work);
    return work;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running.values());
  }

  async #pack(keys: TopicKeys, name: string): Promise<void> {
    for (;;) {
      const tail = await this.#reader.tail(keys);
      if (tail.rows.length > tooManyRows) this.#behind.add(name);
      else this.#behind.delete(name);
      const plan = planPacking(keys, tail, this.#driver.limits);
      if (!plan) return;
      const outcome = await this.#gate.commit(plan.commit);
      if (!outcome.ok || plan.left < tailRecords) return;
    }
  }
}

/** Records in the tail for which packing is worth a commit. */
const tailRecords = 64;
/** Appends in the tail at which those who append have to wait. */
const tooManyRows = 512;
const topicsCounted = 1000;

/** The commit that packs as much of the tail as fits into one, and how many rows it leaves; `undefined` if there is nothing to pack. */
export function planPacking(
  keys: TopicKeys,
  tail: Tail,
  limits: { readonly operations: number; readonly commitBytes: number },
): { readonly commit: RawCommit; readonly left: number } | undefined {
  const { first, head } = tail;
  const mutations: RawMutation[] = [];
  const ends: number[] = [];
  const rows = new RowWriter((row, end) => {
    if (end <= first) return;
    ends.push(end);
    mutations.push({ kind: "set", key: keys.row(end), value: row, ttl: undefined });
  });
  let { base, time } = head;
  let bytes = 0;
  let taken = 0;
  for (const { key, value } of tail.rows) {
    const { block } = readNewRow(value);
    bytes += key.length + value.length;
    // Beside this row's delete there are up to two rows to write, the head, the index and the check.
    const isFull =
      mutations.length + 6 > limits.operations || bytes + overhead(keys) * (ends.length + 5) > limits.commitBytes;
    if (isFull && taken > 0) break;
    const { count, time: appended } = describeRow(block);
    time = Math.max(time, appended);
    base += count;
    rows.add(withLeastTime(block, time), base);
    mutations.push({ kind: "delete", key });
    taken++;
  }
  if (taken === 0) return undefined;
  rows.finish();
  if (taken === tail.rows.length && base !== tail.count) {
    throw new CorruptionError(`a topic of the log counts ${tail.count} records and holds ${base}`);
  }
  mutations.push({ kind: "set", key: keys.head, value: encodeHead({ base, time, name: keys.name }), ttl: undefined });
  const lastEnd = ends.at(-1);
  if (lastEnd !== undefined)
    mutations.push({ kind: "set", key: keys.index(lastEnd), value: encodeIndex(ends), ttl: undefined });
  const commit: RawCommit = {
    checks: [{ kind: "key", key: keys.head, revision: tail.headRevision }],
    mutations,
    bytes: mutations.reduce((sum, mutation) => sum + bytesOf(mutation), keys.head.length),
  };
  return { commit, left: tail.rows.length - taken };
}

function bytesOf(mutation: RawMutation): number {
  return mutation.kind === "set"
    ? mutation.key.length + mutation.value.length
    : mutation.kind === "delete"
      ? mutation.key.length
      : 0;
}

/** Bytes of a key of the topic, generously. */
function overhead(keys: TopicKeys): number {
  return keys.head.length + keys.name.length + 64;
}

/** Joins blocks into rows of up to 64 KiB. */
class RowWriter {
  readonly #write: (row: Uint8Array, end: number) => void;
  #blocks: Uint8Array[] = [];
  #size = 0;
  #end = 0;

  constructor(write: (row: Uint8Array, end: number) => void) {
    this.#write = write;
  }

  /** @param end the offset after the block's last record */
  add(block: Uint8Array, end: number): void {
    if (this.#size + block.length > rowBytes) this.finish();
    this.#blocks.push(block);
    this.#size += block.length;
    this.#end = end;
  }

  finish(): void {
    if (this.#blocks.length === 0) return;
    this.#write(concat(...this.#blocks), this.#end);
    this.#blocks = [];
    this.#size = 0;
  }
}
