import { CorruptionError } from "../../core/index.ts";
import type { RawRecord } from "../driver.ts";

/*
 * Many records in one value. A block holds the records that were appended together; a row is one or more blocks, one after
 * another, so rows are joined by joining their bytes. Numbers are big-endian.
 *
 *   u32          number of records, n
 *   u64          time of the append, milliseconds since the epoch
 *   n × u32      where each record ends, counted from the first one's beginning
 *   bytes        the records
 */
const TIME = 4;
const ENDS = 12;

/** Bytes that a block of so many records takes besides the records themselves. */
export function blockOverhead(records: number): number {
  return ENDS + 4 * records;
}

/** One block of these records. */
export function packRecords(records: readonly Uint8Array[], time: number): Uint8Array {
  const data = blockOverhead(records.length);
  let end = 0;
  for (const record of records) end += record.length;
  const block = new Uint8Array(data + end);
  writeU32(block, 0, records.length);
  writeTime(block, time);
  end = 0;
  for (let i = 0; i < records.length; i++) {
    const record = records[i] as Uint8Array;
    block.set(record, data + end);
    end += record.length;
    writeU32(block, ENDS + 4 * i, end);
  }
  return block;
}

/** The block with this time instead of its own, unless its own is later. Not a copy if nothing changes. */
export function withLeastTime(block: Uint8Array, time: number): Uint8Array {
  if (readTime(block, 0) >= time) return block;
  const later = new Uint8Array(block);
  writeTime(later, time);
  return later;
}

/** The number of records in the row, and the latest time of its blocks. */
export function describeRow(row: Uint8Array): { readonly count: number; readonly time: number } {
  let count = 0;
  let time = 0;
  for (let at = 0; at < row.length; at = blockEnd(row, at)) {
    if (at + ENDS > row.length) throw cutOff(row, at);
    count += readU32(row, at);
    time = Math.max(time, readTime(row, at));
  }
  return { count, time };
}

/** What a reader wants of a topic. */
export interface Wanted {
  /** First offset. */
  readonly from: number;
  /** Records at most. */
  readonly limit: number;
  /** Bytes of records, about: the first record is taken however large it is. */
  readonly bytes: number;
}

/** Collects records from rows in the order of their offsets, until there are enough of them. */
export class RecordPage {
  readonly records: RawRecord[] = [];
  readonly #limit: number;
  readonly #bytes: number;
  #next: number;
  #size = 0;
  #full: boolean;

  constructor({ from, limit, bytes }: Wanted) {
    this.#next = from;
    this.#limit = limit;
    this.#bytes = bytes;
    this.#full = limit <= 0;
  }

  /** The offset that is wanted next. */
  get next(): number {
    return this.#next;
  }

  get full(): boolean {
    return this.#full;
  }

  /** The records below this offset are gone. A page that has begun below ends there: pages have no gaps. */
  skipTo(offset: number): void {
    if (offset <= this.#next) return;
    if (this.records.length > 0) this.#full = true;
    else this.#next = offset;
  }

  /**
   * Takes what is wanted of a row whose first record has offset `first`. The records are views into the row.
   * @param leastTime records older than this get this time
   * @returns the offset after the row
   * @throws CorruptionError the row is none
   */
  add(row: Uint8Array, first: number, leastTime = 0): number {
    let offset = first;
    for (let at = 0; at < row.length; ) {
      const end = blockEnd(row, at);
      const count = readU32(row, at);
      if (!this.#full && offset + count > this.#next) this.#take(row, at, offset, count, leastTime);
      offset += count;
      at = end;
    }
    return offset;
  }

  #take(row: Uint8Array, at: number, first: number, count: number, leastTime: number): void {
    const time = Math.max(leastTime, readTime(row, at));
    const { records } = this;
    const ends = at + ENDS;
    const data = ends + 4 * count;
    const memory = row.buffer;
    const origin = row.byteOffset + data;
    const room = row.length - data;
    let index = Math.max(0, this.#next - first);
    let start = index === 0 ? 0 : readU32(row, ends + 4 * (index - 1));
    for (; index < count; index++) {
      const end = readU32(row, ends + 4 * index);
      if (end < start || end > room)
        throw new CorruptionError(
          `record ${index} of a log row ends at byte ${end}, after ${start} and before ${room} expected`,
        );
      const size = this.#size + end - start;
      if (size > this.#bytes && records.length > 0) {
        this.#full = true;
        return;
      }
      this.#size = size;
      records.push({ offset: first + index, value: new Uint8Array(memory, origin + start, end - start), time });
      this.#next = first + index + 1;
      if (records.length >= this.#limit) {
        this.#full = true;
        return;
      }
      start = end;
    }
  }
}

/** The position after the block that begins at `at`. */
function blockEnd(row: Uint8Array, at: number): number {
  if (at + ENDS > row.length) throw cutOff(row, at);
  const count = readU32(row, at);
  const data = at + blockOverhead(count);
  if (data > row.length) throw cutOff(row, at);
  const end = count === 0 ? data : data + readU32(row, data - 4);
  if (end > row.length) throw cutOff(row, at);
  return end;
}

function cutOff(row: Uint8Array, at: number): CorruptionError {
  return new CorruptionError(`a log row of ${row.length} bytes ends within the block that begins at byte ${at}`);
}

function readTime(row: Uint8Array, at: number): number {
  return readU32(row, at + TIME) * 2 ** 32 + readU32(row, at + TIME + 4);
}

function writeTime(block: Uint8Array, time: number): void {
  writeU32(block, TIME, Math.floor(time / 2 ** 32));
  writeU32(block, TIME + 4, time % 2 ** 32);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
