import { InvalidArgumentError, type Runtime } from "../core/index.ts";
import type { Engine } from "./contract.ts";

export interface ConnectOptions {
  /** Clock, chance and timers of everything on the engine. Default: the system's. */
  readonly runtime?: Runtime;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the engine that the URL names. The engine's code, and the client that it needs, are loaded only now.
 *
 * | URL | engine |
 * |---|---|
 * | `memory:` | in this process, gone with it |
 * | `sqlite:./data.db`, `sqlite:/var/lib/app/data.db` | a file of this machine |
 * | `postgres://user@host:5432/database` | Postgres (needs the package `pg`) |
 *
 * @throws InvalidArgumentError no engine has such a URL
 * @throws UnavailableError the server cannot be reached
 * @throws UnsupportedError the store was written by a later version, or the client's package is missing
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Engine> {
  const scheme = typeof url === "string" ? /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() : undefined;
  const open = scheme === undefined ? undefined : engines.get(scheme);
  // The URL itself may hold a password and is not shown.
  if (!open) {
    const given = scheme === undefined ? "no scheme" : `the scheme "${scheme}:"`;
    throw new InvalidArgumentError(`url: ${given} given; allowed are ${known}${nearest(scheme)}`);
  }
  options.signal?.throwIfAborted();
  return await open(url, options);
}

type Open = (url: string, options: ConnectOptions) => Promise<Engine>;

const openPostgresUrl: Open = async (url, options) => {
  const { openPostgres } = await import("./postgres/index.ts");
  return await openPostgres({ ...options, url });
};

const engines = new Map<string, Open>([
  [
    "memory",
    async (url, options) => {
      if (url.length > "memory:".length)
        throw new InvalidArgumentError("url: memory: takes no name; give engines the same MemoryStore to share one");
      const { openMemory } = await import("./memory/index.ts");
      return openMemory(options);
    },
  ],
  [
    "sqlite",
    async (url, options) => {
      const { openSqlite } = await import("./sqlite/index.ts");
      return await openSqlite({ ...options, file: fileOf(url) });
    },
  ],
  ["postgres", openPostgresUrl],
  ["postgresql", openPostgresUrl],
]);

const known = "memory:, sqlite:<file> and postgres://<user>@<host>/<database>";

/** `sqlite:./data.db`, `sqlite:data.db`, `sqlite:/abs/data.db` and `sqlite:///abs/data.db` */
function fileOf(url: string): string {
  const rest = url.slice("sqlite:".length);
  const file = rest.startsWith("//") ? rest.slice(2) : rest;
  if (file === "") throw new InvalidArgumentError("url: sqlite: needs a file, as in sqlite:./data.db");
  return decodeURIComponent(file);
}

/** A hint for a scheme with a typo. */
function nearest(scheme: string | undefined): string {
  const near =
    scheme &&
    [...engines.keys()].find((name) => name.startsWith(scheme.slice(0, 3)) || name.endsWith(scheme.slice(-4)));
  return near ? `; did you mean ${near}:?` : "";
}
