import type { RawRecord } from "../driver.ts";
import { integerLength, type Packer, Unpacker } from "./pack.ts";

/*
 * A row of ashlar_log holds records one after another: for each the milliseconds since the row's `time`, its length, its bytes.
 */

/** Bytes of a new row at most, unless one record alone has more: reading pays per row, and what is read whole must stay small. */
export const rowBytes = 32 * 1024;

/**
 * Up to here the last row of a topic is extended by the next append: what fits, with its other columns, in one page of 4096 bytes
 * without an overflow page, so that extending writes no more pages than a new row would.
 */
export const tailBytes = 3900;

/** The columns that tell what the bytes mean. */
export interface LogRow {
  readonly first: number;
  readonly count: number;
  readonly time: number;
  readonly data: Uint8Array;
}

export function packRecord(packer: Packer, record: Uint8Array, sinceFirst: number): void {
  packer.integer(sinceFirst).bytes(record);
}

export function packedLength(record: Uint8Array, sinceFirst: number): number {
  return integerLength(sinceFirst) + integerLength(record.length) + record.length;
}

/** How much a read may still take. */
export interface ReadBudget {
  records: number;
  /** The first record is read even if it exceeds this. */
  bytes: number;
}

/**
 * Adds the row's records from offset `from` on to `into`, until the budget is used up. The values are views into the row.
 * Returns whether there may be more to read.
 */
export function unpackRecords(row: LogRow, from: number, budget: ReadBudget, into: RawRecord[]): boolean {
  const { first, count, time } = row;
  const unpacker = new Unpacker(row.data);
  const end = first + count;
  for (let offset = first; offset < end; offset++) {
    const sinceFirst = unpacker.integer();
    if (offset < from) {
      unpacker.skipBytes();
      continue;
    }
    if (budget.records === 0) return false;
    const value = unpacker.bytes();
    if (value.length > budget.bytes && into.length > 0) return false;
    budget.records--;
    budget.bytes -= value.length;
    into.push({ offset, value, time: time + sinceFirst });
  }
  return budget.records > 0;
}

/** The row without its records below `before`. Its `time` stays: the records count from it. */
export function withoutRecordsBelow(row: LogRow, before: number): LogRow {
  const unpacker = new Unpacker(row.data);
  for (let offset = row.first; offset < before; offset++) {
    unpacker.integer();
    unpacker.skipBytes();
  }
  return {
    first: before,
    count: row.first + row.count - before,
    time: row.time,
    data: row.data.subarray(unpacker.position),
  };
}
