import {
  type Duration,
  InvalidArgumentError,
  invalidArgument,
  type Runtime,
  systemRuntime,
  toMilliseconds,
} from "../../core/index.ts";
import type { PgPool } from "./client.ts";

/** One of `url` and `pool` is needed. */
export interface PostgresOptions {
  /** `postgres://user:password@host:5432/database`, with the parameters that `pg` knows (`?sslmode=verify-full`). Needs the package `pg`. */
  readonly url?: string;
  /** A pool of your own (`new pg.Pool(…)`) instead of a URL; closing the engine leaves it open. At least 4 connections. */
  readonly pool?: PgPool;
  /** The schema of the database in which everything lies: one store each. Made if absent. Default "ashlar". */
  readonly schema?: string;
  /** Connections at most, with `url`. 4 to 1000, default 10: one for commits, one that listens, the rest for reads and SQL transactions. */
  readonly connections?: number;
  /**
   * Prepare statements under names, which is faster. Default: on a direct connection. Behind a pooler that lends connections by transaction it
   * works if that follows names (PgBouncer 1.21 and later with max_prepared_statements); should it turn out not to, the engine stops by itself.
   */
  readonly prepare?: boolean;
  /**
   * Use LISTEN for change hints and for the bus. Default: on a direct connection. Behind a pooler it works only if that lends connections by session; without it
   * changes are found by polling, and the bus goes through keys.
   */
  readonly listen?: boolean;
  /** Time for one statement. 100 ms to a day, default "30s". A commit that takes longer is settled, as one whose connection broke. */
  readonly timeout?: Duration;
  /** Time for getting a connection. 10 ms to a day, default "10s". */
  readonly connectTimeout?: Duration;
  /** Time for finding out what has become of a commit whose answer was lost, before `OutcomeUnknownError`. Up to a day, default "15s". */
  readonly settleTimeout?: Duration;
  /** How often to look for changes without a hint. 10 ms to an hour, default "1s". Bounds how late a watcher hears of a change when notifications fail. */
  readonly poll?: Duration;
  /** Clock, chance and timers. Default: the system's. */
  readonly runtime?: Runtime;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
}

/** The options, checked, in milliseconds. */
export interface Settings {
  readonly schema: string;
  readonly connections: number;
  readonly prepare: boolean | undefined;
  readonly listen: boolean | undefined;
  readonly timeout: number;
  readonly connectTimeout: number;
  readonly settleTimeout: number;
  readonly poll: number;
  readonly runtime: Runtime;
}

/** @throws InvalidArgumentError an option of the wrong type or out of bounds */
export function toSettings(options: PostgresOptions): Settings {
  if (typeof options !== "object" || options === null) throw invalidArgument("options", options, "{ url } or { pool }");
  if ((options.url === undefined) === (options.pool === undefined))
    throw new InvalidArgumentError("options: either url or pool is needed, and not both");
  if (options.url !== undefined && typeof options.url !== "string")
    throw new InvalidArgumentError("url: allowed is a string such as postgres://user:password@host:5432/database");
  if (options.pool !== undefined && typeof options.pool?.connect !== "function")
    throw invalidArgument("pool", options.pool, "a pool of the package pg");
  const connections = options.pool
    ? (options.pool.options?.max ?? defaultConnections)
    : (options.connections ?? defaultConnections);
  if (!Number.isSafeInteger(connections) || connections < fewest || connections > 1000) {
    throw invalidArgument(
      options.pool ? "pool.options.max" : "connections",
      connections,
      `a whole number of ${fewest} to 1000`,
    );
  }
  return {
    schema: options.schema ?? "ashlar",
    connections,
    prepare: flag(options.prepare, "prepare"),
    listen: flag(options.listen, "listen"),
    timeout: toMilliseconds(options.timeout ?? "30s", "timeout", { min: 100, max: day }),
    connectTimeout: toMilliseconds(options.connectTimeout ?? "10s", "connectTimeout", { min: 10, max: day }),
    settleTimeout: toMilliseconds(options.settleTimeout ?? "15s", "settleTimeout", { min: 0, max: day }),
    poll: toMilliseconds(options.poll ?? "1s", "poll", { min: 10, max: 3_600_000 }),
    runtime: options.runtime ?? systemRuntime,
  };
}

function flag(value: boolean | undefined, name: string): boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") throw invalidArgument(name, value, "true or false");
  return value;
}

const defaultConnections = 10;
/** One commits, one listens, one reads, one is for an SQL transaction. */
const fewest = 4;
const day = 86_400_000;
