import { toBinaryString } from "../../core/index.ts";
import type { RawCommit, RawOutcome } from "../driver.ts";
import { applyCommit, type Store, type StoredEntry } from "../evaluate.ts";
import { type Changed, packChanges } from "./changes.ts";
import type { Database, Statement } from "./database.ts";
import { LogWriter } from "./log-writer.ts";
import { Packer } from "./pack.ts";

/**
 * The store as the commits of one flush see it: the tables, and over them what the flush has read and written so far. A key that
 * many commits of a flush touch is read once and written once.
 *
 * To be used within a transaction: `begin`, `apply` for each commit, and then `finish` before COMMIT. After a ROLLBACK the next
 * `begin` forgets what was gathered.
 */
export class FlushStore implements Store {
  readonly #entries = new Map<string, Cached>();
  readonly #log: LogWriter;
  readonly #packer = new Packer();
  readonly #get: Statement<[value: Uint8Array, revision: number, expires: number]>;
  readonly #range: Statement<[key: Uint8Array, revision: number]>;
  readonly #upsert: Statement;
  readonly #delete: Statement;
  readonly #selectHead: Statement<[seq: number, revision: number, total: number]>;
  readonly #insertChanges: Statement;
  readonly #forgetChanges: Statement;
  /** The last row of the changes: as it was when the transaction began, and from `finish` on as it will be. */
  #head: Head = emptyHead;
  /** Of the last commit applied that wrote something. */
  #revision = 0;

  constructor(database: Database) {
    this.#log = new LogWriter(database, this.#packer);
    this.#get = database.prepare("SELECT value, revision, expires FROM ashlar_kv WHERE key = ?");
    this.#range = database.prepare(
      `SELECT key, revision FROM ashlar_kv WHERE key >= ? AND key < ? AND (expires = 0 OR expires > ?) ORDER BY key LIMIT ?`,
    );
    this.#upsert = database.prepare(
      `INSERT INTO ashlar_kv (key, value, revision, expires) VALUES (?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires`,
    );
    this.#delete = database.prepare("DELETE FROM ashlar_kv WHERE key = ?");
    this.#selectHead = database.prepare("SELECT seq, revision, total FROM ashlar_changes ORDER BY seq DESC LIMIT 1");
    this.#insertChanges = database.prepare(
      "INSERT INTO ashlar_changes (seq, revision, total, keys) VALUES (?, ?, ?, ?)",
    );
    // The subquery visits only rows that are then deleted, and one more.
    this.#forgetChanges = database.prepare(
      `DELETE FROM ashlar_changes WHERE seq < max(?, ifnull((SELECT seq FROM ashlar_changes WHERE total > ? ORDER BY seq LIMIT 1), 0))`,
    );
  }

  /** Returns whether another connection has written since this one did. */
  begin(): boolean {
    this.#entries.clear();
    this.#log.reset();
    const [seq, revision, total] = this.#selectHead.get() ?? [0, 0, 0];
    const overtaken = seq !== this.#head.seq;
    this.#head = { seq, revision, total };
    this.#revision = revision;
    return overtaken;
  }

  /** @param now the engine's clock, milliseconds since the epoch */
  apply(commit: RawCommit, now: number): RawOutcome {
    if (commit.mutations.length === 0) return applyCommit(this, commit, now, this.#revision);
    const outcome = applyCommit(this, commit, now, this.#revision + 1);
    if (outcome.ok) this.#revision++;
    return outcome;
  }

  /** Writes everything, with the row of changes that moves the store's revision. Returns whether there was anything to write. */
  finish(): boolean {
    const { seq, revision, total } = this.#head;
    if (this.#revision === revision) return false;
    this.#drain();
    this.#log.drain();
    const changed: Changed[] = [];
    for (const { key, changed: at } of this.#entries.values()) if (at > 0) changed.push({ key, revision: at });
    const packed = packChanges(this.#packer, this.#revision, changed, this.#log.topics());
    this.#head = { seq: seq + 1, revision: this.#revision, total: total + packed.length };
    this.#insertChanges.run(seq + 1, this.#revision, total + packed.length, packed);
    if ((seq + 1) % trimEvery === 0) this.#forgetChanges.run(seq + 1 - keptRows, total - keptBytes);
    return true;
  }

  get(key: Uint8Array): StoredEntry | undefined {
    const name = toBinaryString(key);
    const cached = this.#entries.get(name);
    if (cached) return cached.entry;
    const row = this.#get.get(key);
    const entry = row && { value: row[0], revision: row[1], expires: row[2] };
    this.#entries.set(name, { key, entry, changed: 0, dirty: false });
    return entry;
  }

  range(start: Uint8Array, end: Uint8Array, limit: number, now: number): { key: Uint8Array; revision: number }[] {
    this.#drain();
    return this.#range.all(start, end, now, limit).map(([key, revision]) => ({ key, revision }));
  }

  set(key: Uint8Array, value: Uint8Array, revision: number, expires: number): void {
    // Whole milliseconds, so that the column holds integers: an entry lives at least as long as asked.
    const entry = { value, revision, expires: Math.ceil(expires) };
    this.#entries.set(toBinaryString(key), { key, entry, changed: revision, dirty: true });
  }

  delete(key: Uint8Array): void {
    this.#entries.set(toBinaryString(key), { key, entry: undefined, changed: this.#revision + 1, dirty: true });
  }

  append(topic: Uint8Array, records: readonly Uint8Array[], now: number): number {
    return this.#log.append(topic, records, now);
  }

  #drain(): void {
    for (const cached of this.#entries.values()) {
      if (!cached.dirty) continue;
      const { key, entry } = cached;
      if (entry) this.#upsert.run(key, entry.value, entry.revision, entry.expires);
      else this.#delete.run(key);
      cached.dirty = false;
    }
  }
}

/** The last row of the changes: where the store is. */
interface Head {
  readonly seq: number;
  /** The store's revision. */
  readonly revision: number;
  /** Bytes of all rows of changes so far. */
  readonly total: number;
}

const emptyHead: Head = { seq: 0, revision: 0, total: 0 };

interface Cached {
  readonly key: Uint8Array;
  readonly entry: StoredEntry | undefined;
  /** The revision of the commit of this flush that wrote or deleted it; 0 if it was only read. */
  readonly changed: number;
  /** Not yet in the table. */
  dirty: boolean;
}

/** History of changes kept for those who watch: who falls further behind has to read anew. */
const keptRows = 10_000;
const keptBytes = 16 * 1024 * 1024;
/** Flushes between two trims of the history. */
const trimEvery = 256;
