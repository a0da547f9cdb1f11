import { createHash } from "node:crypto";
import { InvalidArgumentError } from "../../core/index.ts";

/** Names within the database that follow from the schema's name. */
export interface Names {
  readonly schema: string;
  /** The schema as it stands in SQL. */
  readonly quoted: string;
  /** Key of the advisory lock that puts all commits of the schema in a row. Like all of these, a signed 64-bit integer as text. */
  readonly commitLock: string;
  /** Key of the advisory lock that whoever listens holds in shared mode, so that nobody notifies for nobody. */
  readonly listenLock: string;
  /** Key of the advisory lock of housekeeping: one at a time is enough. */
  readonly sweepLock: string;
  /** Key of the advisory lock of migrations. */
  readonly migrationLock: string;
  /** Channel of the hints that something was committed. */
  readonly changesChannel: string;
  /** Channel of the bus. */
  readonly busChannel: string;
}

/** @throws InvalidArgumentError not a plain lower-case identifier */
export function namesOf(schema: string): Names {
  if (typeof schema !== "string" || !/^[a-z_][a-z0-9_]{0,47}$/.test(schema) || schema.startsWith("pg_")) {
    throw new InvalidArgumentError(
      `schema: given ${JSON.stringify(schema)}; allowed: 1 to 48 lower-case letters, digits and underscores, not beginning with a digit or "pg_"`,
    );
  }
  return {
    schema,
    quoted: `"${schema}"`,
    commitLock: lockKey("commit", schema),
    listenLock: lockKey("listen", schema),
    sweepLock: lockKey("sweep", schema),
    migrationLock: lockKey("migrate", schema),
    changesChannel: `${schema}_changes`,
    busChannel: `${schema}_bus`,
  };
}

/** Advisory locks are shared by everything in the database; 64 bits of a digest keep clear of what others lock. */
function lockKey(purpose: string, schema: string): string {
  return createHash("sha256").update(`ashlar:${purpose}:${schema}`).digest().readBigInt64BE().toString();
}
