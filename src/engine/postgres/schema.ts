import { UnsupportedError } from "../../core/index.ts";
import type { Lease } from "./connection.ts";
import { checkedWriteFunction, checkingFunctions, commitFunctions } from "./functions.ts";
import type { Names } from "./names.ts";
import { readFunctions } from "./read-functions.ts";
import { upkeepFunctions } from "./upkeep-functions.ts";

/** The schema that this code reads and writes. */
export const schemaVersion = 3;

/** The steps from each version to the next; the first one makes the schema. */
const migrations: readonly ((names: Names) => string[])[] = [firstVersion, presenceChecks, checkedWrites];

/**
 * Brings the schema to this version, creating it if need be. Clients that start together do it one after another, under a lock.
 * @throws UnsupportedError the schema was made by a later version; nothing was touched
 */
export async function migrate(lease: Lease, names: Names, steps: typeof migrations = migrations): Promise<void> {
  if ((await versionOf(lease, names, steps.length)) === steps.length) return;
  await lease.simple("BEGIN");
  try {
    await lease.simple(`SELECT pg_advisory_xact_lock(${names.migrationLock})`);
    const version = await versionOf(lease, names, steps.length);
    for (const step of steps.slice(version)) await lease.simple(step(names).join(";\n"));
    if (version < steps.length) await lease.simple(`UPDATE ${names.quoted}.meta SET version = ${steps.length}`);
    await lease.simple("COMMIT");
  } catch (error) {
    await lease.simple("ROLLBACK").catch(() => {});
    throw error;
  }
}

/** 0 if there is no schema yet. */
async function versionOf(lease: Lease, { schema, quoted }: Names, known: number): Promise<number> {
  // Asks the tables of the catalogue, by a snapshot. `to_regclass` asks a cache, which would not yet know what another client has
  // made while this one waited for the lock.
  const [found] = await lease.simple(
    `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = '${schema}' AND c.relname = 'meta'`,
  );
  if (!found?.[0]) return 0;
  const [row] = await lease.simple(`SELECT version FROM ${quoted}.meta`);
  const version = Number(row?.[0] ?? 0);
  if (version <= known) return version;
  throw new UnsupportedError(
    `the schema "${schema}" in the database has version ${version}, this code knows versions up to ${known}; upgrade this code, or choose another schema`,
    { details: { schema, found: version, known } },
  );
}

/**
 * | table | rows |
 * |---|---|
 * | `meta` | one: the version of the schema, and up to which revision changes were forgotten |
 * | `kv` | one for each entry, expired ones too until they are swept |
 * | `log` | records of a topic, many to a row, each after its length as 32 bits |
 * | `trims` | for topics that were trimmed: the first offset kept, the time of the last record forgotten |
 * | `changes` | one for each flush that wrote: its last revision, what it wrote, and its outcome, in case the answer is lost |
 * | `tombstones` | flushes that were given up and must not be applied if they still arrive |
 */
function firstVersion(names: Names): string[] {
  const s = names.quoted;
  return [
    `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '${names.schema}') THEN CREATE SCHEMA ${s}; END IF; END $$`,
    `CREATE TABLE ${s}.meta (one boolean PRIMARY KEY DEFAULT true CHECK (one), version int NOT NULL, forgotten bigint NOT NULL)`,
    `INSERT INTO ${s}.meta (version, forgotten) VALUES (0, 0)`,
    // Room in each page lets an update stay there, without a new entry in the index.
    `CREATE TABLE ${s}.kv (key bytea PRIMARY KEY, value bytea NOT NULL, revision bigint NOT NULL, expires bigint) WITH (fillfactor = 80)`,
    // For a table of a few pages the server would plan a sequential scan, and keep that plan while the table grows, until it is analysed
    // again. So the table begins with some pages, free for use, and does not shrink below them.
    `ALTER TABLE ${s}.kv SET (vacuum_truncate = false)`,
    `INSERT INTO ${s}.kv (key, value, revision) SELECT int4send(i), decode(repeat('00', 1000), 'hex'), 0 FROM generate_series(1, 200) i`,
    `DELETE FROM ${s}.kv`,
    `CREATE INDEX kv_expires ON ${s}.kv (expires) WHERE expires IS NOT NULL`,
    `CREATE TABLE ${s}.log (topic bytea, first bigint, count int NOT NULL, time bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (topic, first))`,
    `CREATE TABLE ${s}.trims (topic bytea PRIMARY KEY, first bigint NOT NULL, time bigint NOT NULL)`,
    `CREATE TABLE ${s}.changes (revision bigint PRIMARY KEY, id uuid, keys bytea[], topics bytea[], outcome bigint[] NOT NULL, at bigint NOT NULL)
      WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 1, toast_tuple_target = 8160)`,
    `CREATE TABLE ${s}.tombstones (id uuid PRIMARY KEY, at bigint NOT NULL)`,
    // Stored as they are: compressing costs more time than it saves, and slices of what is not compressed are cheap.
    `ALTER TABLE ${s}.kv ALTER value SET STORAGE EXTERNAL`,
    `ALTER TABLE ${s}.log ALTER data SET STORAGE EXTERNAL`,
    `ALTER TABLE ${s}.changes ALTER keys SET STORAGE EXTERNAL, ALTER topics SET STORAGE EXTERNAL, ALTER outcome SET STORAGE EXTERNAL`,
    ...commitFunctions(names),
    ...readFunctions(names),
    ...upkeepFunctions(names),
  ];
}

/** Checks of presence came: the functions that evaluate checks learn them. */
function presenceChecks(names: Names): string[] {
  return checkingFunctions(names).map((text) => text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"));
}

/** Flushes whose checks hold, nearly all, came to be written like those without. */
function checkedWrites(names: Names): string[] {
  return [checkedWriteFunction(names)];
}
