import { InvalidArgumentError, UnsupportedError } from "../../core/index.ts";
import type { PgPool, PgPoolClient } from "./client.ts";

/** A pool that the engine made and ends. */
export interface OwnPool {
  readonly pool: PgPool;
  /** "Postgres at localhost:5432": for messages. */
  readonly where: string;
  end(): Promise<void>;
}

/** What is used of the package `pg`. */
interface PgPackage {
  readonly Pool: new (config: PoolConfig) => PackagePool;
}

interface PackagePool extends PgPool {
  end(): Promise<void>;
  on(event: "error", listener: () => void): unknown;
  on(event: "connect", listener: (client: PgPoolClient) => void): unknown;
}

interface PoolConfig {
  readonly connectionString: string;
  readonly max: number;
  readonly connectionTimeoutMillis: number;
  readonly idleTimeoutMillis: number;
  readonly allowExitOnIdle: boolean;
  readonly keepAlive: boolean;
  readonly fallback_application_name: string;
}

export interface OwnPoolOptions {
  readonly url: string;
  readonly connections: number;
  readonly connectTimeout: number;
}

/**
 * Loads `pg` and makes a pool of it.
 * @throws InvalidArgumentError the URL is malformed
 * @throws UnsupportedError the package is not installed
 */
export async function createOwnPool(
  options: OwnPoolOptions,
  load: () => Promise<unknown> = () => import("pg"),
): Promise<OwnPool> {
  const where = whereOf(options.url);
  const { Pool } = await loadPackage(load);
  const pool = new Pool({
    connectionString: options.url,
    max: options.connections,
    connectionTimeoutMillis: options.connectTimeout,
    idleTimeoutMillis: 60_000,
    allowExitOnIdle: true,
    keepAlive: true,
    fallback_application_name: "ashlar",
  });
  // A connection that breaks is replaced; without a listener its error would end the process: while it is idle, and in the moment between the
  // end of connecting and its first use.
  pool.on("error", ignore);
  pool.on("connect", (client) => client.on("error", ignore));
  return { pool, where, end: () => pool.end() };
}

/** The server that the URL names, without user and password. */
function whereOf(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // Neither the URL nor the error, which quotes it, is shown: it may hold a password.
    throw new InvalidArgumentError(
      "url: not a URL; allowed: postgres://user:password@host:5432/database, with special characters of the password percent-encoded",
    );
  }
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") {
    throw new InvalidArgumentError(
      `url: the scheme "${parsed.protocol}" was given; allowed: postgres://user:password@host:5432/database`,
    );
  }
  const host = parsed.searchParams.get("host") ?? (parsed.hostname || "localhost");
  return `Postgres at ${host}:${parsed.port || parsed.searchParams.get("port") || 5432}`;
}

async function loadPackage(load: () => Promise<unknown>): Promise<PgPackage> {
  let loaded: unknown;
  try {
    loaded = await load();
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") throw cause;
    throw new UnsupportedError(
      'the postgres engine needs the package "pg": run `npm install pg`, or pass a pool of your own',
      { cause },
    );
  }
  const { default: inner, ...named } = loaded as Partial<PgPackage> & { default?: PgPackage };
  const found = named.Pool ? (named as PgPackage) : inner;
  if (!found?.Pool)
    throw new UnsupportedError(
      'the package "pg" that was found has no Pool; install version 8 or later: `npm install pg`',
    );
  return found;
}

function ignore(): void {}
