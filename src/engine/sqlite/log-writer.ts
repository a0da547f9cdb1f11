import { toBinaryString } from "../../core/index.ts";
import type { Database, Statement } from "./database.ts";
import { packedLength, packRecord, rowBytes, tailBytes } from "./log-rows.ts";
import type { Packer } from "./pack.ts";

/** Appends of one transaction, gathered by topic, so that a flush writes each topic once however many commits append to it. */
export class LogWriter {
  readonly #packer: Packer;
  readonly #topics = new Map<string, Pending>();
  readonly #tail: Statement<TailRow>;
  readonly #insert: Statement;
  readonly #replace: Statement;

  constructor(database: Database, packer: Packer) {
    this.#packer = packer;
    this.#tail = database.prepare(
      `SELECT id, first, count, time, until, length(data), CASE WHEN length(data) <= ${tailBytes} THEN data END
       FROM ashlar_log WHERE topic = ? ORDER BY first DESC LIMIT 1`,
    );
    this.#insert = database.prepare(
      "INSERT INTO ashlar_log (topic, first, count, time, until, data) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#replace = database.prepare("UPDATE ashlar_log SET count = ?, time = ?, until = ?, data = ? WHERE id = ?");
  }

  /** Topics appended to since `reset`. */
  topics(): Uint8Array[] {
    return Array.from(this.#topics.values(), ({ topic }) => topic);
  }

  /** Returns the offset of the first record. */
  append(topic: Uint8Array, records: readonly Uint8Array[], now: number): number {
    const name = toBinaryString(topic);
    let pending = this.#topics.get(name);
    if (!pending) {
      pending = this.#load(topic, now);
      this.#topics.set(name, pending);
    }
    const offset = pending.next + pending.records.length;
    for (const record of records) pending.records.push(record);
    return offset;
  }

  /** Writes what was gathered. To be followed by `reset`. */
  drain(): void {
    for (const pending of this.#topics.values()) this.#write(pending);
  }

  reset(): void {
    this.#topics.clear();
  }

  #load(topic: Uint8Array, now: number): Pending {
    const time = Math.floor(now);
    const row = this.#tail.get(topic);
    if (!row) return { topic, tail: undefined, next: 0, time, records: [] };
    const [id, first, count, begun, until, bytes, data] = row;
    // Times never decrease within a topic, even if the clock was set back.
    return {
      topic,
      tail: { id, first, count, time: begun, bytes, data },
      next: first + count,
      time: Math.max(time, until),
      records: [],
    };
  }

  #write({ topic, tail, next, time, records }: Pending): void {
    const packer = this.#packer;
    let row = openRow(tail, next, time, records);
    for (let at = 0; at < records.length; row = newRow(next + at, time)) {
      const begin = at;
      packer.raw(row.data);
      do {
        packRecord(packer, records[at++] as Uint8Array, time - row.time);
      } while (
        at < records.length &&
        packer.length + packedLength(records[at] as Uint8Array, time - row.time) <= rowBytes
      );
      const count = row.count + at - begin;
      if (row.id === undefined) this.#insert.run(topic, row.first, count, row.time, time, packer.finish());
      else this.#replace.run(count, row.time, time, packer.finish(), row.id);
    }
  }
}

type TailRow = [
  id: number,
  first: number,
  count: number,
  time: number,
  until: number,
  bytes: number,
  data: Uint8Array | null,
];

interface Pending {
  readonly topic: Uint8Array;
  readonly tail: Tail | undefined;
  /** The offset of the first pending record. */
  readonly next: number;
  /** The time of the pending records. */
  readonly time: number;
  readonly records: Uint8Array[];
}

/** The topic's last row as it stands in the table. */
interface Tail {
  readonly id: number;
  readonly first: number;
  readonly count: number;
  readonly time: number;
  readonly bytes: number;
  /** Read only if it may be extended. */
  readonly data: Uint8Array | null;
}

/** A row to be filled: new, or one in the table whose records stay in front. */
interface OpenRow {
  readonly id: number | undefined;
  readonly first: number;
  readonly count: number;
  readonly time: number;
  readonly data: Uint8Array;
}

function openRow(tail: Tail | undefined, next: number, time: number, records: readonly Uint8Array[]): OpenRow {
  // What is left of a topic that was trimmed to its end.
  if (tail?.count === 0) return { id: tail.id, first: tail.first, count: 0, time, data: noBytes };
  if (tail?.data && fits(tail, time, records)) return { ...tail, data: tail.data };
  return newRow(next, time);
}

function fits(tail: Tail, time: number, records: readonly Uint8Array[]): boolean {
  let size = tail.bytes;
  for (const record of records) {
    size += packedLength(record, time - tail.time);
    if (size > tailBytes) return false;
  }
  return true;
}

function newRow(first: number, time: number): OpenRow {
  return { id: undefined, first, count: 0, time, data: noBytes };
}

const noBytes = new Uint8Array(0);
