import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PostgresServer } from "./postgres.ts";
import {
  createServerFolder,
  findFolderOf,
  freePort,
  removeServerFolder,
  ServerProcess,
  ServerStartError,
  skipWithout,
  unprivilegedAccount,
  untilReady,
} from "./process.ts";

/** What to say where PgBouncer is absent. */
export const pgBouncerMissing = "needs PgBouncer: run `bash scripts/install-servers.sh`, or put pgbouncer on PATH";

/** The folder of the program pgbouncer. */
export function findPgBouncer(): string | undefined {
  return findFolderOf(["pgbouncer"], ["/usr/sbin"]);
}

/** The `skip` of tests that need PgBouncer; throws instead with CI=true. */
export function skipWithoutPgBouncer(): string | false {
  return skipWithout(findPgBouncer(), pgBouncerMissing);
}

export interface PgBouncerOptions {
  /** When a server connection goes back to the pool: after each transaction, statement, or client session. */
  readonly poolMode: "transaction" | "statement" | "session";
  /** Server connections per database and user. Default 5, so that clients do share. */
  readonly poolSize?: number;
}

/** A PgBouncer of its own on a loopback port, before one PostgreSQL server. */
export interface PgBouncerServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** What it has logged. */
  log(): string;
  kill9(): Promise<void>;
  pause(): void;
  resume(): void;
  /** Ends it and removes its folder; the PostgreSQL server stays. Harmless when repeated. */
  stop(): Promise<void>;
}

/** @throws Error with `pgBouncerMissing` where it is not installed. Tests ask `skipWithoutPgBouncer` first. */
export async function startPgBouncer(postgres: PostgresServer, options: PgBouncerOptions): Promise<PgBouncerServer> {
  const programs = findPgBouncer();
  if (programs === undefined) throw new Error(pgBouncerMissing);
  const account = unprivilegedAccount("postgres", "nobody");
  const folder = createServerFolder("pgbouncer", account);
  const log = join(folder, "log");
  const config = join(folder, "pgbouncer.ini");
  try {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      writeFileSync(log, "");
      writeFileSync(config, configuration(postgres.port, port, options));
      const server = await ServerProcess.start(join(programs, "pgbouncer"), [config], { folder, log, account });
      try {
        await untilReady(server, log, () => readFileSync(log, "utf8").includes("process up"));
        return handle(server, port, folder, log);
      } catch (error) {
        await server.kill9();
        if (!(error instanceof ServerStartError && error.portTaken) || attempt === 5) throw error;
      }
    }
  } catch (error) {
    removeServerFolder(folder);
    throw error;
  }
}

function handle(server: ServerProcess, port: number, folder: string, log: string): PgBouncerServer {
  const stop = async () => {
    await server.stop("SIGTERM");
    removeServerFolder(folder);
  };
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    pid: server.pid,
    log: () => readFileSync(log, "utf8"),
    kill9: () => server.kill9(),
    pause: () => server.pause(),
    resume: () => server.resume(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function configuration(postgresPort: number, port: number, { poolMode, poolSize = 5 }: PgBouncerOptions): string {
  return `[databases]
* = host=127.0.0.1 port=${postgresPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
default_pool_size = ${poolSize}
max_client_conn = 500
`;
}
