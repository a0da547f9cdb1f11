import { ByteReader, ByteWriter, toBinaryString } from "../../core/index.ts";
import type { RawAppend } from "../driver.ts";
import { rowBytes } from "./functions.ts";

/** Records packed into one row of the table `log`. */
export interface LogRow {
  /** Index of its topic among the topics of the flush, from 1. */
  readonly topic: number;
  /** Which commit of the flush appends it, from 1. */
  readonly commit: number;
  /** Records appended to the topic before it in this flush. */
  readonly at: number;
  count: number;
  readonly writer: ByteWriter;
}

/** The topics that a flush appends to, and the rows that it adds. */
export class LogRows {
  readonly topics: Uint8Array[] = [];
  readonly rows: LogRow[] = [];
  readonly #slots = new Map<string, { readonly slot: number; appended: number; last: LogRow | undefined }>();
  readonly #join: boolean;

  /** @param join put records of several commits into one row: possible where none of them can be refused */
  constructor(join: boolean) {
    this.#join = join;
  }

  /** Adds the records and returns the topic's index, from 1. */
  add({ topic, records }: RawAppend, commit: number): number {
    const name = toBinaryString(topic);
    let found = this.#slots.get(name);
    if (!found) {
      found = { slot: this.topics.push(topic), appended: 0, last: undefined };
      this.#slots.set(name, found);
    }
    if (!this.#join) found.last = undefined;
    for (const record of records) {
      if (!found.last || found.last.writer.length + 4 + record.length > rowBytes) {
        found.last = {
          topic: found.slot,
          commit,
          at: found.appended,
          count: 0,
          writer: new ByteWriter(4 + record.length),
        };
        this.rows.push(found.last);
      }
      found.last.writer.bytes(record);
      found.last.count++;
      found.appended++;
    }
    return found.slot;
  }
}

/** The records of a row. */
export function unpackRow(data: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(data);
  const records: Uint8Array[] = [];
  while (reader.remaining > 0) records.push(reader.bytes());
  return records;
}
