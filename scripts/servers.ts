import { once } from "node:events";
import { parseArgs } from "node:util";
import { startPgBouncer } from "../test/servers/pgbouncer.ts";
import { startPostgres } from "../test/servers/postgres.ts";

/**
 * Starts a server for trying things out: on a free loopback port, with its data in a temporary folder.
 * Prints its URL and process, and ends and removes it when it is interrupted.
 */
const usage = "usage: node scripts/servers.ts start postgres|pgbouncer";

async function main(): Promise<number> {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [verb, name] = positionals;
  if (verb !== "start" || (name !== "postgres" && name !== "pgbouncer") || positionals.length > 2) {
    console.error(usage);
    return 2;
  }
  const ended = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  await using postgres = await startPostgres();
  await using pgbouncer =
    name === "pgbouncer" ? await startPgBouncer(postgres, { poolMode: "transaction" }) : undefined;
  const server = pgbouncer ?? postgres;
  console.log(`${server.url} ${server.pid}`);
  const alive = setInterval(() => {}, 1 << 30);
  await ended;
  clearInterval(alive);
  return 0;
}

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message);
  return 3;
});
