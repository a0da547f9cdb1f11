import { constants, DatabaseSync } from "node:sqlite";

/** What SQLite stores and returns. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/** A prepared statement; rows are arrays of column values. Blobs that it returns are copies of their own. */
export interface Statement<Row extends readonly unknown[] = SqlValue[]> {
  get(...parameters: SqlValue[]): Row | undefined;
  all(...parameters: SqlValue[]): Row[];
  /** Leaving the loop early resets the statement. */
  iterate(...parameters: SqlValue[]): IterableIterator<Row>;
  run(...parameters: SqlValue[]): { readonly changes: number | bigint };
}

/** A prepared statement of the user: rows are objects, integers are bigints. */
export interface UserStatement {
  iterate(...parameters: SqlValue[]): IterableIterator<Record<string, SqlValue>>;
  run(...parameters: SqlValue[]): { readonly changes: number | bigint };
  /** The text of the statement itself: the first one of the text that was given. */
  readonly sourceSQL: string;
}

/** Says whether an action that a statement contains is allowed. Asked while the statement is prepared. */
export type Authorizer = (action: SqlAction, first: string | null, second: string | null) => boolean;

/** What the authorizer tells apart; `write` is anything that changes data or schema. */
export type SqlAction = "read" | "transaction" | "savepoint" | "attach" | "detach" | "pragma" | "write";

/** One connection. The only face of `node:sqlite` in the sources; its errors are translated by `faults.ts`. */
export class Database {
  readonly #native: DatabaseSync;

  /**
   * @param file absolute path; created if missing
   * @param busyMs how long a statement waits for a lock of another connection
   */
  constructor(file: string, busyMs: number) {
    // The busy timeout is set before anything else: concurrent changes to WAL mode fail at once without it.
    this.#native = new DatabaseSync(file, { timeout: busyMs });
  }

  exec(sql: string): void {
    this.#native.exec(sql);
  }

  prepare<Row extends readonly unknown[] = SqlValue[]>(sql: string): Statement<Row> {
    const statement = this.#native.prepare(sql);
    statement.setReturnArrays(true);
    return statement as unknown as Statement<Row>;
  }

  prepareForUser(sql: string): UserStatement {
    const statement = this.#native.prepare(sql);
    statement.setReadBigInts(true);
    return statement as unknown as UserStatement;
  }

  /** Whether Node has what keeps the statements of users within bounds (since 24.10). */
  static get canAuthorize(): boolean {
    return typeof DatabaseSync.prototype.setAuthorizer === "function";
  }

  authorize(allows: Authorizer): void {
    this.#native.setAuthorizer((code, first, second) =>
      allows(actions.get(code) ?? "write", first, second) ? constants.SQLITE_OK : constants.SQLITE_DENY,
    );
  }

  get inTransaction(): boolean {
    return this.#native.isTransaction;
  }

  close(): void {
    if (this.#native.isOpen) this.#native.close();
  }
}

const actions = new Map<number, SqlAction>([
  [constants.SQLITE_READ, "read"],
  [constants.SQLITE_SELECT, "read"],
  [constants.SQLITE_FUNCTION, "read"],
  [constants.SQLITE_RECURSIVE, "read"],
  [constants.SQLITE_ANALYZE, "read"],
  [constants.SQLITE_TRANSACTION, "transaction"],
  [constants.SQLITE_SAVEPOINT, "savepoint"],
  [constants.SQLITE_ATTACH, "attach"],
  [constants.SQLITE_DETACH, "detach"],
  [constants.SQLITE_PRAGMA, "pragma"],
]);
