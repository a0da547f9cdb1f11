import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Account,
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

/** What to say where PostgreSQL is absent. */
export const postgresMissing =
  "needs PostgreSQL: run `bash scripts/install-servers.sh`, or put its programs postgres and initdb on PATH";

/** The folder of PostgreSQL's programs, from PATH or from where Debian puts them (the newest version). */
export function findPostgres(): string | undefined {
  const debian = globSync("/usr/lib/postgresql/*/bin").sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  return findFolderOf(["postgres", "initdb"], debian);
}

/** The `skip` of tests that need PostgreSQL; throws instead with CI=true. */
export function skipWithoutPostgres(): string | false {
  return skipWithout(findPostgres(), postgresMissing);
}

export interface PostgresOptions {
  /** Settings over those of a stock server, as in postgresql.conf: `{ statement_timeout: "1s" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A PostgreSQL server of its own on a loopback port: stock durability, no password, its data in a temporary folder. */
export interface PostgresServer extends AsyncDisposable {
  /** `postgres://` URL of its superuser and its first database; the same after a restart. */
  readonly url: string;
  readonly port: number;
  /** The postmaster's process; another one after a restart. */
  readonly pid: number;
  readonly dataDir: string;
  /** What the server has logged. */
  log(): string;
  /** SIGKILL to the postmaster and all its children at once, as if the machine had died. */
  kill9(): Promise<void>;
  /** Starts it on the same data and port; ends it first (fast shutdown) if it runs. Resolves when it serves. */
  restart(): Promise<void>;
  /** Halts the postmaster and its children (SIGSTOP): connections stay open, and nobody answers. */
  pause(): void;
  resume(): void;
  /** Ends it and removes its data. Harmless when repeated. */
  stop(): Promise<void>;
}

/** @throws Error with `postgresMissing` where it is not installed. Tests ask `skipWithoutPostgres` first. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = findPostgres();
  if (programs === undefined) throw new Error(postgresMissing);
  const account = unprivilegedAccount("postgres", "nobody");
  const folder = createServerFolder("postgres", account);
  try {
    initialise(programs, folder, account);
    for (let attempt = 1; ; attempt++) {
      const server = new LocalPostgres(programs, folder, account, await freePort(), options.settings ?? {});
      try {
        await server.restart();
        return server;
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

function initialise(programs: string, folder: string, account: Account | undefined): void {
  // The files need not reach the disk before the first start; from then on the server's own rules hold.
  const args = ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
  const result = spawnSync(join(programs, "initdb"), args, {
    cwd: folder,
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    encoding: "utf8",
    ...account,
  });
  if (result.status !== 0) throw new Error(`initdb failed: ${result.error ?? result.stderr}`);
}

class LocalPostgres implements PostgresServer {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly #programs: string;
  readonly #folder: string;
  readonly #account: Account | undefined;
  readonly #settings: Readonly<Record<string, string>>;
  #process: ServerProcess | undefined;

  constructor(
    programs: string,
    folder: string,
    account: Account | undefined,
    port: number,
    settings: Readonly<Record<string, string>>,
  ) {
    this.port = port;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.dataDir = join(folder, "data");
    this.#programs = programs;
    this.#folder = folder;
    this.#account = account;
    this.#settings = settings;
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error("the server was never started");
    return this.#process.pid;
  }

  log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async restart(): Promise<void> {
    await this.#process?.stop("SIGINT");
    const settings = {
      port: String(this.port),
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: "60",
      shared_buffers: "32MB",
      logging_collector: "off",
      ...this.#settings,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const server = await ServerProcess.start(join(this.#programs, "postgres"), ["-D", this.dataDir, ...args], {
      folder: this.#folder,
      log: this.#logFile,
      account: this.#account,
    });
    this.#process = server;
    await untilReady(server, this.#logFile, () => isServing(this.dataDir, server.pid));
  }

  async kill9(): Promise<void> {
    await this.#process?.kill9();
  }

  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    this.#process?.resume();
  }

  async stop(): Promise<void> {
    await this.#process?.stop("SIGINT");
    removeServerFolder(this.#folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  get #logFile(): string {
    return join(this.#folder, "log");
  }
}

/** The first line of postmaster.pid is the process, the eighth its status (miscadmin.h, LOCK_FILE_LINE_PM_STATUS). */
function isServing(dataDir: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(dataDir, "postmaster.pid"), "latin1").split("\n");
    return lines[0] === String(pid) && lines[7]?.trim() === "ready";
  } catch {
    return false;
  }
}
