import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { findPostgres, type PostgresServer, postgresMissing, startPostgres } from "../../test/servers/postgres.ts";
import { until } from "../../test/servers/process-tree.ts";
import type { Place } from "./contestant.ts";
import type { EngineName, Entry } from "./plan.ts";
import { findRedis, type RedisServer, startRedis } from "./redis.ts";

/** The servers of a run, and empty places on them. */
export class Places implements AsyncDisposable {
  readonly versions: Record<string, string> = {};
  readonly #parent: string;
  readonly #redis = new Map<Entry["store"], RedisServer>();
  #postgres: { readonly server: PostgresServer; readonly admin: pg.Pool } | undefined;
  #count = 0;

  /** @param parent the folder under which SQLite's files are made; those of the servers are in the system's temporary folder */
  constructor(parent = tmpdir()) {
    this.#parent = parent;
  }

  /** Why the engine's contestants cannot run here; `undefined`: they can. */
  async start(engine: EngineName): Promise<string | undefined> {
    if (engine === "sqlite") {
      if (findRedis() === undefined) return "redis-server is not installed";
      for (const fsync of ["everysec", "always"] as const) this.#redis.set(`redis-${fsync}`, await startRedis(fsync));
      this.versions["Redis"] = (await this.#redis.get("redis-always")?.version()) ?? "";
      return undefined;
    }
    if (findPostgres() === undefined) return postgresMissing;
    // As it is installed, but for the number of connections: each peer gets sixty.
    const server = await startPostgres({ settings: { max_connections: "200", shared_buffers: "128MB" } });
    const admin = new pg.Pool({ connectionString: server.url, max: 1 });
    this.#postgres = { server, admin };
    this.versions["PostgreSQL"] = (await admin.query("show server_version")).rows[0].server_version;
    return undefined;
  }

  /** An empty place for the contestant, and how to remove it when its processes have closed it. */
  async empty(store: Entry["store"]): Promise<{ readonly place: Place; remove(): Promise<void> }> {
    const made = await this.#make(store);
    // So that nobody pays for what others wrote or deleted before.
    spawnSync("sync");
    return made;
  }

  async #make(store: Entry["store"]): Promise<{ readonly place: Place; remove(): Promise<void> }> {
    if (store === "folder") {
      const folder = mkdtempSync(join(this.#parent, "ashlar-queues-"));
      return { place: { folder }, remove: async () => rmSync(folder, { recursive: true, force: true }) };
    }
    if (store === "database") return await this.#database();
    const server = this.#redis.get(store);
    if (server === undefined) throw new Error(`${store} does not run`);
    return { place: { port: server.port }, remove: () => server.empty() };
  }

  async #database(): Promise<{ readonly place: Place; remove(): Promise<void> }> {
    if (this.#postgres === undefined) throw new Error("PostgreSQL does not run");
    const { server, admin } = this.#postgres;
    const name = `queues_${++this.#count}`;
    await admin.query(`create database ${name}`);
    await admin.query("checkpoint");
    const url = new URL(server.url);
    url.pathname = name;
    return {
      place: { url: url.href },
      async remove() {
        // Of clients: the server's own vacuum is none, and ends with the database.
        const sessions = `select 1 from pg_stat_activity where datname = '${name}' and backend_type = 'client backend' limit 1`;
        await until(async () => (await admin.query(sessions)).rows.length === 0, `${name} is left by all`, 10_000);
        await admin.query(`drop database ${name} with (force)`);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#redis.values()) await server.stop();
    this.#redis.clear();
    const postgres = this.#postgres;
    this.#postgres = undefined;
    await postgres?.admin.end();
    await postgres?.server.stop();
  }
}
