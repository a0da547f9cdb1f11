import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import pg from "pg";
import type { Engine } from "../src/engine/index.ts";
import { MemoryStore, openMemory } from "../src/engine/memory/index.ts";
import { connect } from "../src/index.ts";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "./servers/postgres.ts";

/** A new, empty store of one engine. Disposing of it closes its clients and removes it. */
export interface TestStore extends AsyncDisposable {
  /** For clients in other processes; absent where there can be none. */
  readonly url: string | undefined;
  /** Another client of the store, with connections of its own. */
  open(): Promise<Engine>;
}

export interface StoreKind {
  readonly name: "memory" | "sqlite" | "postgres";
  /** The `skip` of tests that need it. */
  readonly skip: string | false;
  create(): Promise<TestStore>;
}

/** The engines that every promise is tested on. */
export const storeKinds: readonly StoreKind[] = [
  { name: "memory", skip: false, create: createMemory },
  { name: "sqlite", skip: false, create: createSqlite },
  { name: "postgres", skip: skipWithoutPostgres(), create: createPostgres },
];

async function createMemory(): Promise<TestStore> {
  const store = new MemoryStore();
  return withClients(
    undefined,
    async () => openMemory({ store }),
    () => {},
  );
}

async function createSqlite(): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-store-"));
  const url = `sqlite:${join(folder, "data.db")}`;
  return withClients(
    url,
    () => connect(url),
    () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  );
}

/** A database of its own on the server of this process. */
async function createPostgres(): Promise<TestStore> {
  server ??= startPostgres();
  const { url } = await server;
  const name = `store_${++databases}`;
  await query(url, `create database ${name}`);
  const own = new URL(url);
  own.pathname = name;
  return withClients(
    own.href,
    () => connect(own.href),
    () => {},
  );
}

let server: Promise<PostgresServer> | undefined;
let databases = 0;

// At the end of the file, not of the test that happens to be the first to start it.
after(async () => (await server)?.stop());

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

function withClients(url: string | undefined, connectOne: () => Promise<Engine>, remove: () => void): TestStore {
  const clients: Engine[] = [];
  return {
    url,
    async open() {
      const client = await connectOne();
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.close()));
      remove();
    },
  };
}
