import type { RawBounds, RawRecord } from "../driver.ts";
import type { Database, Statement } from "./database.ts";
import { type ReadBudget, unpackRecords } from "./log-rows.ts";

/** Reads the log by one statement each, so from one snapshot. */
export class LogReader {
  readonly #rows: Statement<[first: number, count: number, time: number, data: Uint8Array]>;
  readonly #bounds: Statement<[first: number | null, next: number | null]>;

  constructor(database: Database) {
    // From the row that holds the offset on: the one with the greatest `first` not above it.
    this.#rows = database.prepare(
      `SELECT first, count, time, data FROM ashlar_log WHERE topic = ?1 AND first >= ifnull(
         (SELECT first FROM ashlar_log WHERE topic = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
       ORDER BY first`,
    );
    this.#bounds = database.prepare(
      `SELECT (SELECT first FROM ashlar_log WHERE topic = ?1 ORDER BY first LIMIT 1),
              (SELECT first + count FROM ashlar_log WHERE topic = ?1 ORDER BY first DESC LIMIT 1)`,
    );
  }

  read(topic: Uint8Array, from: number, limit: number, bytes: number): RawRecord[] {
    const records: RawRecord[] = [];
    const budget: ReadBudget = { records: limit, bytes };
    for (const [first, count, time, data] of this.#rows.iterate(topic, from)) {
      if (!unpackRecords({ first, count, time, data }, from, budget, records)) break;
    }
    return records;
  }

  bounds(topic: Uint8Array): RawBounds {
    const [first, next] = this.#bounds.get(topic) ?? [null, null];
    return { first: first ?? 0, next: next ?? 0 };
  }
}
