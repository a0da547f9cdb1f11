import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type PostgresOptions, startPostgres } from "../servers/postgres.ts";
import { until } from "../servers/process-tree.ts";
import type { TortureStore } from "./rounds.ts";

/** A new file in a folder of its own. */
export function createSqliteStore(): TortureStore & Disposable {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-tortured-"));
  return {
    url: `sqlite:${join(folder, "data.db")}`,
    // A dead process leaves nothing under way.
    quiesce: async () => {},
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** A new server. */
export async function createPostgresStore(options?: PostgresOptions): Promise<TortureStore & AsyncDisposable> {
  const server = await startPostgres(options);
  return {
    url: server.url,
    server,
    quiesce: () => until(() => isIdle(server.url), "no statement runs on the server"),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** A statement whose client died runs on to its end. Only the connections that wait for their next statement are left alone. */
async function isIdle(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const busy = `select 1 from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid() and state <> 'idle'`;
    return (await client.query(busy)).rows.length === 0;
  } finally {
    await client.end();
  }
}
