import { statSync } from "node:fs";
import { dirname } from "node:path";
import { type AshlarError, CorruptionError, InvalidArgumentError, UnavailableError } from "../../core/index.ts";

/** Primary result codes of SQLite (https://sqlite.org/rescode.html). */
const code = {
  error: 1,
  busy: 5,
  locked: 6,
  readOnly: 8,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  tooBig: 18,
  constraint: 19,
  mismatch: 20,
  misuse: 21,
  notAuthorized: 23,
  range: 25,
  notADatabase: 26,
} as const;

/** An error as `node:sqlite` throws it. */
export interface SqliteError extends Error {
  readonly code: "ERR_SQLITE_ERROR";
  /** Extended result code. */
  readonly errcode: number;
  readonly errstr: string;
}

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && (error as { code?: unknown }).code === "ERR_SQLITE_ERROR";
}

/** Another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return primary(error) === code.busy || primary(error) === code.locked;
}

/** The file system has no room: SQLite says so before the record that makes a commit valid is written. */
export function isFull(error: unknown): boolean {
  return primary(error) === code.full;
}

/** The statement itself is wrong, or a constraint of the user's forbids it: the store is well. */
export function isOfStatement(error: unknown): boolean {
  return statementFaults.has(primary(error) ?? 0);
}

const statementFaults = new Set<number>([
  code.error,
  code.tooBig,
  code.constraint,
  code.mismatch,
  code.misuse,
  code.notAuthorized,
  code.range,
]);

/**
 * What an error of SQLite means for the file, and what to do. Nothing was applied by the statement that threw it.
 * Errors that are not SQLite's come back as they are.
 */
export function explain(error: unknown, file: string): unknown {
  if (!isSqliteError(error)) return error;
  const options = { cause: error, details: { file, sqlite: error.errcode } };
  switch (primary(error)) {
    case code.busy:
    case code.locked:
      return new UnavailableError(
        `${file}: another connection has held the lock of the database for too long; nothing was applied. ` +
          "Look for another process with a long transaction on this file",
        options,
      );
    case code.readOnly:
      return new UnavailableError(
        `${file}: cannot be written (${error.message}); give this process write permission for the file and its folder`,
        options,
      );
    case code.full:
      return new UnavailableError(
        `${file}: the disk is full; nothing was applied and nothing is lost. Free some space and try again`,
        options,
      );
    case code.corrupt:
      return new CorruptionError(
        `${file}: the database is damaged (${error.message}); check the disk and restore the file from a backup`,
        options,
      );
    case code.notADatabase:
      return new CorruptionError(
        `${file}: is not an SQLite database; give another file, or restore this one from a backup. It was left untouched`,
        options,
      );
    case code.cannotOpen:
      return cannotOpen(error, file);
    default:
      return new UnavailableError(
        `${file}: SQLite failed (${error.message}); nothing was applied. Check the disk and the file system`,
        options,
      );
  }
}

function cannotOpen(error: SqliteError, file: string): AshlarError {
  const options = { cause: error, details: { file, sqlite: error.errcode } };
  const folder = dirname(file);
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
    return new InvalidArgumentError(`file: ${file} is a folder; give the path of a file in it`, options);
  }
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    return new InvalidArgumentError(
      `file: the folder ${folder} does not exist; create it, or correct the path`,
      options,
    );
  }
  return new UnavailableError(
    `${file}: cannot be opened; give this process permission to read and write the file and its folder`,
    options,
  );
}

function primary(error: unknown): number | undefined {
  return isSqliteError(error) ? error.errcode & 0xff : undefined;
}
