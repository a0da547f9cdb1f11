import { OutcomeUnknownError, systemRuntime, UnavailableError } from "../../core/index.ts";
import type { RawCommit, RawOutcome } from "../driver.ts";
import { Connection } from "./connection.ts";
import { Database } from "./database.ts";
import { explain, isBusy, isFull, isOfStatement } from "./faults.ts";
import { LockSharing } from "./lock-sharing.ts";
import { Notifier } from "./notify.ts";
import { prepareWriter } from "./schema.ts";

export interface LedgerOptions {
  /** Absolute path. */
  readonly file: string;
  /** How long to wait for the lock while other processes hold it, in milliseconds. Default 15 s: more than any session of ours may take. */
  readonly busyMs?: number;
  /** Called right before each COMMIT of something written. */
  readonly beforeCommit?: () => void;
  /** Opens a connection. For tests that make it fail. */
  readonly open?: (file: string, busyMs: number) => Database;
}

/** All writing to the database, on one connection, synchronously: what the writer's thread does. */
export class Ledger {
  readonly #file: string;
  readonly #busyMs: number;
  readonly #lock: LockSharing;
  readonly #beforeCommit: () => void;
  readonly #open: (file: string, busyMs: number) => Database;
  readonly #notifier: Notifier;
  /** `undefined` after a failure that the connection may not have survived, and after `close`. */
  #connection: Connection | undefined;

  /** @throws AshlarError as `explain` and `prepareWriter` say */
  constructor(options: LedgerOptions) {
    this.#file = options.file;
    this.#busyMs = options.busyMs ?? 15_000;
    this.#lock = new LockSharing(this.#busyMs);
    this.#beforeCommit = options.beforeCommit ?? (() => {});
    this.#open = options.open ?? ((file, busyMs) => new Database(file, busyMs));
    this.#connection = this.#connect();
    this.#notifier = new Notifier(this.#file);
  }

  /**
   * Applies the commits as one transaction of SQLite.
   * @param now the engine's clock; by default the system's at the moment at which the lock was obtained
   */
  flush(commits: readonly RawCommit[], now?: number): RawOutcome[] {
    // Without anything to write there is no need for the lock: the snapshot that the reads see is the latest state.
    const writes = commits.some((commit) => commit.mutations.length > 0);
    return this.#transaction(writes, ({ store }) => {
      const instant = instantOf(now);
      const result = commits.map((commit) => store.apply(commit, instant));
      return { result, dirty: store.finish() };
    });
  }

  /** Forgets records of a topic, up to `rows` rows of them. Returns whether it came to the end. */
  trim(topic: Uint8Array, before: number, rows: number): boolean {
    return this.#transaction(true, ({ trimmer }) => ({ result: trimmer.step(topic, before, rows), dirty: true }));
  }

  /** Deletes up to `limit` expired entries as one commit. */
  sweep(limit: number, now?: number): number {
    const due = this.#transaction(false, ({ expired }) => ({ result: expired.get(instantOf(now), 1), dirty: false }));
    if (!due) return 0;
    return this.#transaction(true, ({ store, expired }) => {
      const instant = instantOf(now);
      const keys = expired.all(instant, limit);
      store.apply({ checks: [], mutations: keys.map(([key]) => ({ kind: "delete", key })), bytes: 0 }, instant);
      return { result: keys.length, dirty: store.finish() };
    });
  }

  /** Obtains the lock and begins a transaction that `commit` or `rollback` ends. Until then nothing else may be called but `apply`. */
  begin(): Database {
    const connection = this.#connected();
    this.#begin(connection, true);
    return connection.database;
  }

  /** Applies the commit within the transaction that `begin` began. */
  apply(commit: RawCommit, now?: number): RawOutcome {
    const { store } = this.#connected();
    store.begin();
    const outcome = store.apply(commit, instantOf(now));
    store.finish();
    return outcome;
  }

  /**
   * @throws OutcomeUnknownError it may have been applied; after any other error it was not
   * @throws Error as SQLite gives it: a deferred constraint of the user's does not hold
   */
  commit(): void {
    this.#commit(this.#connected());
  }

  rollback(): void {
    const connection = this.#connection;
    if (connection?.database.inTransaction) connection.rollback.run();
  }

  /** Copies the write-ahead log into the file as far as others let it, and closes. */
  close(): void {
    this.#notifier.close();
    const database = this.#connection?.database;
    this.#connection = undefined;
    if (!database) return;
    try {
      database.exec("PRAGMA busy_timeout = 100; PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // The log stays beside the file, and whoever opens it next reads both.
    }
    database.close();
  }

  /** @param exclusive with the write lock, obtained at the beginning; without it, nothing may be written */
  #transaction<T>(exclusive: boolean, work: (connection: Connection) => Work<T>): T {
    const connection = this.#connected();
    this.#begin(connection, exclusive);
    let done: Work<T>;
    try {
      done = work(connection);
    } catch (error) {
      throw this.#abandoned(connection, error);
    }
    if (done.dirty) this.#commit(connection);
    else connection.rollback.run();
    return done.result;
  }

  #begin(connection: Connection, exclusive: boolean): void {
    try {
      this.#lock.acquire(() => connection.beginTransaction(exclusive));
    } catch (error) {
      throw this.#abandoned(connection, error);
    }
  }

  #commit(connection: Connection): void {
    this.#beforeCommit();
    try {
      connection.commit.run();
    } catch (error) {
      throw this.#notCommitted(connection, error);
    }
    this.#lock.released(connection.overtaken);
    this.#notifier.notify();
  }

  /**
   * A COMMIT that fails leaves the transaction open (a deferred constraint) or rolls it back: the index of the write-ahead log does not
   * know its pages, so that nobody sees them. But if all of them were written and only syncing failed, they lie in the log, and
   * recovery after a crash would find them, unless a later commit has overwritten them: so one is made.
   */
  #notCommitted(connection: Connection, error: unknown): unknown {
    if (connection.database.inTransaction || isFull(error)) {
      const explained = this.#abandoned(connection, error);
      return isOfStatement(error) ? error : explained;
    }
    this.#disconnect();
    try {
      this.#connected().overwrite();
    } catch (cause) {
      this.#disconnect();
      return new OutcomeUnknownError(
        `${this.#file}: the disk failed during a commit and again while taking it back; the commit may be applied after a crash`,
        { cause, details: { file: this.#file } },
      );
    }
    return this.#explained(error);
  }

  /** Ends a transaction that failed before its COMMIT: it is surely not applied. */
  #abandoned(connection: Connection, error: unknown): unknown {
    try {
      if (connection.database.inTransaction) connection.rollback.run();
    } catch {
      // Closing rolls back as well.
      this.#disconnect();
    }
    return this.#explained(error);
  }

  #explained(error: unknown): unknown {
    if (!isBusy(error)) return explain(error, this.#file);
    return new UnavailableError(
      `${this.#file}: another process has held the write lock for ${this.#busyMs} ms; nothing was applied. ` +
        "Look for a long transaction on this file in another program",
      { cause: error, details: { file: this.#file } },
    );
  }

  #connected(): Connection {
    this.#connection ??= this.#connect();
    return this.#connection;
  }

  #connect(): Connection {
    let database: Database | undefined;
    try {
      database = this.#open(this.#file, this.#busyMs);
      prepareWriter(database, this.#file);
      // From now on `LockSharing` does the waiting.
      database.exec("PRAGMA busy_timeout = 0");
      return new Connection(database);
    } catch (error) {
      database?.close();
      throw explain(error, this.#file);
    }
  }

  #disconnect(): void {
    const database = this.#connection?.database;
    this.#connection = undefined;
    try {
      database?.close();
    } catch {
      // It is given up anyway.
    }
  }
}

interface Work<T> {
  readonly result: T;
  /** Whether there is something to commit. */
  readonly dirty: boolean;
}

function instantOf(now: number | undefined): number {
  return now ?? systemRuntime.clock.now();
}
