import { UnsupportedError } from "../../core/index.ts";
import type { Database } from "./database.ts";

/** The version of the tables that this code reads and writes. */
export const schemaVersion = 1;

/*
 * Tables, all with the prefix `ashlar_`, so that the user's own may lie in the same file:
 *
 * ashlar_meta     name → value                         "schema": the version of what follows
 * ashlar_kv       key → value, revision, expires       expires: milliseconds since the epoch, 0 for never
 * ashlar_log      (topic, first) → packed records      `count` records from offset `first` on; `time` of the first record,
 *                                                      `until` of the last. A topic's last row stays when all is trimmed
 * ashlar_changes  seq → revision, total, keys          one row per flush: the packed keys and topics that it changed.
 *                                                      seq: dense; revision: of the flush's last commit, so that the last
 *                                                      row is the store's revision; total: sum of the bytes of all rows so far
 *
 * ashlar_kv and ashlar_log are tables with rowids and an index beside: SQLite keeps only about 1000 bytes of a row
 * in an index's page (which is what a table WITHOUT ROWID is), so that there a value of 1000 bytes takes a page of its own:
 * five times the file and a fifth of the speed. For values of 100 bytes both ways are equal.
 */
const tables = `
CREATE TABLE ashlar_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE ashlar_kv (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  value BLOB NOT NULL,
  revision INTEGER NOT NULL,
  expires INTEGER NOT NULL
);
CREATE INDEX ashlar_kv_expires ON ashlar_kv (expires) WHERE expires > 0;
CREATE TABLE ashlar_log (
  id INTEGER PRIMARY KEY,
  topic BLOB NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  time INTEGER NOT NULL,
  until INTEGER NOT NULL,
  data BLOB NOT NULL,
  UNIQUE (topic, first)
);
CREATE TABLE ashlar_changes (
  seq INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL,
  total INTEGER NOT NULL,
  keys BLOB NOT NULL
);
INSERT INTO ashlar_meta VALUES ('schema', ${schemaVersion});
`;

/** Pages of the write-ahead log after which it is copied into the file: larger is faster, and longer to wait at each copy. */
const checkpointPages = 2000;
const journalBytes = 64 * 1024 * 1024;
const cacheKibibytes = 32 * 1024;

/**
 * Makes a fresh connection the writer's: durable commits, and our tables there.
 * @throws UnsupportedError a later version wrote the tables, or the file system cannot hold a shared write-ahead log. Nothing was touched.
 */
export function prepareWriter(database: Database, file: string): void {
  const present = presentVersion(database);
  if (present !== undefined && present !== schemaVersion) throw otherVersion(file, present);
  useWriteAheadLog(database, file);
  database.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = 1;
    PRAGMA checkpoint_fullfsync = 1;
    PRAGMA wal_autocheckpoint = ${checkpointPages};
    PRAGMA journal_size_limit = ${journalBytes};
    PRAGMA cache_size = -${cacheKibibytes};
  `);
  if (present === undefined) create(database, file);
}

/** Makes a fresh connection one that only reads. */
export function prepareReader(database: Database): void {
  database.exec(`PRAGMA query_only = 1; PRAGMA cache_size = -${cacheKibibytes}`);
}

/** The schema version in the file; `undefined` if our tables are not there. */
function presentVersion(database: Database): number | undefined {
  const found = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'ashlar_meta'").get();
  if (!found) return undefined;
  return Number(database.prepare("SELECT value FROM ashlar_meta WHERE name = 'schema'").get()?.[0]);
}

function useWriteAheadLog(database: Database, file: string): void {
  const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.[0];
  if (mode === "wal") return;
  throw new UnsupportedError(
    `${file}: SQLite cannot use a write-ahead log here (journal mode "${mode}"); put the file on a local disk`,
    { details: { file, mode } },
  );
}

/** Several processes may come here at once: the first to get the lock creates, the others find it done. */
function create(database: Database, file: string): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    const present = presentVersion(database);
    if (present === undefined) database.exec(tables);
    else if (present !== schemaVersion) throw otherVersion(file, present);
    database.exec("COMMIT");
  } catch (error) {
    if (database.inTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function otherVersion(file: string, present: number): UnsupportedError {
  return new UnsupportedError(
    `${file}: was written with version ${present} of the tables, and this version of ashlar knows version ${schemaVersion}; ` +
      "update ashlar. The file was left untouched",
    { details: { file, present, known: schemaVersion } },
  );
}
