import type { Database, Statement } from "./database.ts";
import { LogTrimmer } from "./log-trimmer.ts";
import { FlushStore } from "./store.ts";

/** A connection of the writer with all that is prepared on it. */
export class Connection {
  readonly database: Database;
  readonly store: FlushStore;
  readonly trimmer: LogTrimmer;
  /** Whether another connection had written before the present transaction began. */
  overtaken = false;
  readonly #beginImmediate: Statement;
  readonly #begin: Statement;
  readonly commit: Statement;
  readonly rollback: Statement;
  /** Keys of entries that expire before an instant, the earliest first. */
  readonly expired: Statement<[key: Uint8Array]>;

  constructor(database: Database) {
    this.database = database;
    this.store = new FlushStore(database);
    this.trimmer = new LogTrimmer(database);
    this.#beginImmediate = database.prepare("BEGIN IMMEDIATE");
    this.#begin = database.prepare("BEGIN");
    this.commit = database.prepare("COMMIT");
    this.rollback = database.prepare("ROLLBACK");
    this.expired = database.prepare(
      "SELECT key FROM ashlar_kv WHERE expires > 0 AND expires <= ? ORDER BY expires LIMIT ?",
    );
  }

  /** Begins a transaction on the latest state and reads where the store is, or fails and leaves none open. */
  beginTransaction(exclusive: boolean): void {
    const begin = exclusive ? this.#beginImmediate : this.#begin;
    begin.run();
    try {
      this.overtaken = this.store.begin();
    } catch (error) {
      this.rollback.run();
      throw error;
    }
  }

  /** A commit that changes nothing of anyone's. */
  overwrite(): void {
    this.database.exec(
      "INSERT INTO ashlar_meta VALUES ('overwritten', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
    );
  }
}
