import type { Database, Statement } from "./database.ts";
import { withoutRecordsBelow } from "./log-rows.ts";

/** Forgets the beginnings of topics. */
export class LogTrimmer {
  readonly #nth: Statement<[first: number]>;
  readonly #holding: Statement<[id: number, first: number, count: number, time: number, data: Uint8Array]>;
  readonly #deleteBelow: Statement;
  readonly #shorten: Statement;

  constructor(database: Database) {
    this.#nth = database.prepare("SELECT first FROM ashlar_log WHERE topic = ? ORDER BY first LIMIT 1 OFFSET ?");
    this.#holding = database.prepare(
      "SELECT id, first, count, time, data FROM ashlar_log WHERE topic = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    );
    this.#deleteBelow = database.prepare("DELETE FROM ashlar_log WHERE topic = ? AND first < ?");
    this.#shorten = database.prepare("UPDATE ashlar_log SET first = ?, count = ?, data = ? WHERE id = ?");
  }

  /**
   * Forgets the records below `before`, the lowest ones first, in at most `rows` rows, so that a long trim does not hold up commits.
   * Each step leaves what a trim to some lower offset would have left. Returns whether it came to the end.
   */
  step(topic: Uint8Array, before: number, rows: number): boolean {
    const beyond = this.#nth.get(topic, rows)?.[0];
    const done = beyond === undefined || beyond >= before;
    const holding = this.#holding.get(topic, done ? before : beyond);
    // No row begins at `before` or below it, so nothing lies below.
    if (!holding) return true;
    const [id, first, count, time, data] = holding;
    this.#deleteBelow.run(topic, first);
    const bound = Math.min(before, first + count);
    if (done && bound > first) {
      // The last row stays even when it is empty: it knows the topic's next offset and latest time.
      const kept = withoutRecordsBelow({ first, count, time, data }, bound);
      this.#shorten.run(kept.first, kept.count, kept.data, id);
    }
    return done;
  }
}
