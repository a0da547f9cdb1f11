import type { Engine, Transaction } from "../contract.ts";
import { createEngine, transactInSession } from "../engine.ts";
import type { PgClient } from "./client.ts";
import { createPostgresDriver } from "./driver.ts";
import type { PostgresOptions } from "./options.ts";
import { sessionOn } from "./session.ts";

export type { PgClient, PgNotification, PgPool, PgPoolClient, PgQuery, PgResult } from "./client.ts";
export { createPostgresDriver } from "./driver.ts";
export type { PostgresOptions } from "./options.ts";
export { sessionOn } from "./session.ts";

/**
 * Opens the store in a schema of a Postgres database, for any number of processes at once. Many commits share one call and one fsync of the server.
 *
 * Guarantee: commits of all clients are strictly serialisable and, with the server's stock settings, survive power loss; reads are linearizable; a commit
 * whose answer is lost with the connection is settled before its caller hears of it.
 * @throws InvalidArgumentError an option is wrong, or the server does not let us in
 * @throws UnavailableError the server cannot be reached, or is a standby
 * @throws UnsupportedError the schema is of a later version, the server is too old or set up against what is promised, or `pg` is missing
 */
export async function openPostgres(options: PostgresOptions): Promise<Engine> {
  const driver = await createPostgresDriver(options);
  return createEngine(driver, options.runtime ? { runtime: options.runtime } : {});
}

/**
 * Runs `fn` with a transaction of the engine inside a transaction that the caller has begun on the client and will commit: "insert my order row and
 * enqueue the e-mail" as one commit. From the end of `fn` until then the commits of everybody else wait.
 * @throws ConflictError something that `fn` read has changed, or a sum passed its ceiling: roll back, and begin anew
 */
export function transactWith<T>(engine: Engine, client: PgClient, fn: (tx: Transaction) => T | Promise<T>): Promise<T> {
  return transactInSession(engine, (driver) => sessionOn(driver, client), fn);
}
