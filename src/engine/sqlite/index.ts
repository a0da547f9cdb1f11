import type { Engine } from "../contract.ts";
import { createEngine } from "../engine.ts";
import { createSqliteDriver, type SqliteOptions } from "./driver.ts";

export { createSqliteDriver, type SqliteOptions } from "./driver.ts";

/**
 * The embedded engine: one file of this machine, shared by any of its processes; acknowledged commits survive `kill -9` and
 * power loss. Your own tables may lie in the same file and take part in the same transactions (`tx.sql`).
 * @throws AshlarError as `createSqliteDriver` says
 */
export async function openSqlite(options: SqliteOptions): Promise<Engine> {
  const driver = await createSqliteDriver(options);
  return createEngine(driver, options.runtime ? { runtime: options.runtime } : {});
}
