import { InvalidArgumentError, invalidArgument, LimitError } from "../../core/index.ts";
import type { Database, SqlAction, SqlValue, UserStatement } from "./database.ts";
import { explain, isOfStatement, isSqliteError } from "./faults.ts";

/** Rows of one query at most. */
const mostRows = 100_000;
const mostStatements = 100;

/**
 * The user's statements on the writer's connection: one at a time, within the transaction that is open, and without harm to our
 * tables. Errors of the statements themselves come as SQLite gives them (`code: "ERR_SQLITE_ERROR"`, `errcode`).
 */
export class UserSql {
  readonly #database: Database;
  readonly #file: string;
  /** Prepared, the least recently used first. */
  readonly #statements = new Map<string, UserStatement>();
  /** True while a statement of the user is prepared or run: ours pass the authorizer too, when a change of the schema has them prepared anew. */
  #active = false;
  /** Why the authorizer refused. */
  #refusal: string | undefined;

  constructor(database: Database, file: string) {
    this.#database = database;
    this.#file = file;
    database.authorize((action, first, second) => {
      if (!this.#active) return true;
      const refusal = refusalOf(action, first, second);
      this.#refusal ??= refusal;
      return refusal === undefined;
    });
  }

  run(text: string, parameters: readonly SqlValue[]): { changes: number } {
    return this.#guard(text, (statement) => ({ changes: Number(statement.run(...parameters).changes) }));
  }

  /** Integers come as numbers where they are safe, otherwise as bigints. */
  all(text: string, parameters: readonly SqlValue[]): Record<string, SqlValue>[] {
    return this.#guard(text, (statement) => {
      const rows: Record<string, SqlValue>[] = [];
      for (const row of statement.iterate(...parameters)) {
        if (rows.length === mostRows) {
          throw new LimitError(`sql: the query has more than ${mostRows} rows; read it in parts with LIMIT`, {
            details: { name: "rows", limit: mostRows },
          });
        }
        rows.push(plain(row));
      }
      return rows;
    });
  }

  #guard<T>(text: string, use: (statement: UserStatement) => T): T {
    this.#active = true;
    this.#refusal = undefined;
    try {
      return use(this.#prepared(text));
    } catch (error) {
      throw this.#explained(text, error);
    } finally {
      this.#active = false;
    }
  }

  #prepared(text: string): UserStatement {
    const known = this.#statements.get(text);
    if (known) {
      this.#statements.delete(text);
      this.#statements.set(text, known);
      return known;
    }
    const statement = this.#database.prepareForUser(text);
    // SQLite prepares the first statement and ignores what follows.
    if (!isBlank(text.slice(statement.sourceSQL.length))) {
      throw new InvalidArgumentError(`sql: give one statement at a time, not "${excerpt(text)}"`);
    }
    this.#statements.set(text, statement);
    if (this.#statements.size > mostStatements) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest);
        break;
      }
    }
    return statement;
  }

  #explained(text: string, error: unknown): unknown {
    if (this.#refusal !== undefined)
      return new InvalidArgumentError(`sql: ${this.#refusal}: "${excerpt(text)}"`, { cause: error });
    if (isSqliteError(error)) return isOfStatement(error) ? error : explain(error, this.#file);
    if (error instanceof TypeError)
      return invalidArgument("sql", text, "one SQL statement with values for its placeholders");
    return error;
  }
}

/** Why a statement may not do this; `undefined`: it may. */
function refusalOf(action: SqlAction, first: string | null, second: string | null): string | undefined {
  switch (action) {
    case "read":
      return undefined;
    case "write":
      return isOurs(first) || isOurs(second)
        ? "tables whose names begin with ashlar_ are not to be changed"
        : undefined;
    case "transaction":
    case "savepoint":
      return "the transaction begins and ends with `transact`, not by statements";
    case "attach":
    case "detach":
      return "databases cannot be attached to a transaction";
    case "pragma":
      return tellingPragmas.has(first ?? "")
        ? undefined
        : "pragmas that change how the database works are not for transactions";
  }
}

/** Those that only tell something; SQLite also asks for them when they are read as tables (`pragma_table_info('t')`). */
const tellingPragmas = new Set([
  "collation_list",
  "compile_options",
  "database_list",
  "foreign_key_check",
  "foreign_key_list",
  "function_list",
  "index_info",
  "index_list",
  "index_xinfo",
  "integrity_check",
  "module_list",
  "pragma_list",
  "quick_check",
  "table_info",
  "table_list",
  "table_xinfo",
]);

function isOurs(name: string | null): boolean {
  return name !== null && /^ashlar_/i.test(name);
}

function isBlank(text: string): boolean {
  return /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*$/.test(text);
}

function excerpt(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function plain(row: Record<string, SqlValue>): Record<string, SqlValue> {
  for (const column in row) {
    const value = row[column];
    if (typeof value === "bigint" && value >= -largest && value <= largest) row[column] = Number(value);
  }
  return { ...row };
}

const largest = BigInt(Number.MAX_SAFE_INTEGER);
