import type { ByteRange } from "../../core/index.ts";
import type { RawEntry } from "../driver.ts";
import { isExpired } from "../evaluate.ts";
import { Database, type Statement } from "./database.ts";
import { explain } from "./faults.ts";
import { LogReader } from "./log.ts";
import { prepareReader } from "./schema.ts";

/**
 * Reads, on a connection of their own, synchronously: readers of a write-ahead log wait for nobody. Each statement outside of
 * `snapshot` sees all that was committed before it, by whichever process.
 *
 * Expiry is judged by the clock as it was before the read, so that an entry renewed meanwhile is never missed.
 */
export class Reader {
  readonly log: LogReader;
  readonly #database: Database;
  readonly #file: string;
  readonly #now: () => number;
  readonly #get: Statement<[value: Uint8Array, revision: number, expires: number]>;
  readonly #ascending: Statement<EntryRow>;
  readonly #descending: Statement<EntryRow>;
  readonly #position: Statement<[seq: number, revision: number, total: number]>;
  readonly #begin: Statement;
  readonly #commit: Statement;

  /** @throws AshlarError as `explain` says */
  constructor(file: string, now: () => number) {
    this.#file = file;
    this.#now = now;
    try {
      const database = new Database(file, busyMs);
      this.#database = database;
      prepareReader(database);
      this.log = new LogReader(database);
      this.#get = database.prepare("SELECT value, revision, expires FROM ashlar_kv WHERE key = ?");
      const page = `SELECT key, value, revision, expires FROM ashlar_kv
        WHERE key >= ? AND key < ? AND (expires = 0 OR expires > ?)`;
      this.#ascending = database.prepare(`${page} ORDER BY key LIMIT ?`);
      this.#descending = database.prepare(`${page} ORDER BY key DESC LIMIT ?`);
      this.#position = database.prepare("SELECT seq, revision, total FROM ashlar_changes ORDER BY seq DESC LIMIT 1");
      this.#begin = database.prepare("BEGIN");
      this.#commit = database.prepare("COMMIT");
    } catch (error) {
      throw explain(error, file);
    }
  }

  get(key: Uint8Array): RawEntry | undefined {
    const now = this.#now();
    const row = this.#get.get(key);
    if (row === undefined) return undefined;
    const [value, revision, expires] = row;
    return isExpired(expires, now) ? undefined : { key, value, revision, ttl: toTtl(expires, now) };
  }

  list({ start, end }: ByteRange, limit: number, reverse: boolean): RawEntry[] {
    const now = this.#now();
    const page = reverse ? this.#descending : this.#ascending;
    return page.all(start, end, now, limit).map(([key, value, revision, expires]) => ({
      key,
      value,
      revision,
      ttl: toTtl(expires, now),
    }));
  }

  /** The last row of the changes. */
  position(): Position {
    const [seq, revision, total] = this.#position.get() ?? [0, 0, 0];
    return { seq, revision, total };
  }

  /** A statement for a collaborator that reads within `snapshot`. */
  prepare<Row extends readonly unknown[]>(sql: string): Statement<Row> {
    return this.#database.prepare<Row>(sql);
  }

  /** Whatever `read` reads is the state of one instant. */
  snapshot<T>(read: () => T): T {
    this.#begin.run();
    try {
      return read();
    } finally {
      // Some errors end the transaction by themselves.
      if (this.#database.inTransaction) this.#commit.run();
    }
  }

  /** Runs a read, and explains its errors. */
  guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw explain(error, this.#file);
    }
  }

  close(): void {
    this.#database.close();
  }
}

type EntryRow = [key: Uint8Array, value: Uint8Array, revision: number, expires: number];

/** Where the store is: the last row of the changes. */
export interface Position {
  readonly seq: number;
  readonly revision: number;
  /** Bytes of all rows of changes so far. */
  readonly total: number;
}

/** Readers wait only while another process recovers the database after a crash. The event loop waits with them. */
const busyMs = 2000;

function toTtl(expires: number, now: number): number | undefined {
  return expires === 0 ? undefined : expires - now;
}
