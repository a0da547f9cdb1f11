import { join } from "node:path";
import { Redis } from "ioredis";
import {
  createServerFolder,
  findFolderOf,
  freePort,
  removeServerFolder,
  ServerProcess,
} from "../../test/servers/process.ts";
import { until } from "../../test/servers/process-tree.ts";

/** A Redis of its own on a loopback port, all in one append-only file. */
export interface RedisServer {
  readonly port: number;
  /** Removes everything, and waits until the file has been rewritten without it. */
  empty(): Promise<void>;
  version(): Promise<string>;
  stop(): Promise<void>;
}

export function findRedis(): string | undefined {
  return findFolderOf(["redis-server"]);
}

/** @param fsync when the append-only file is flushed: each second, or before every answer */
export async function startRedis(fsync: "everysec" | "always"): Promise<RedisServer> {
  const programs = findRedis();
  if (programs === undefined) throw new Error("redis-server is not installed");
  const folder = createServerFolder("redis", undefined);
  const port = await freePort();
  const settings = ["--bind", "127.0.0.1", "--port", String(port), "--appendonly", "yes", "--appendfsync", fsync];
  // No snapshots beside the append-only file: they cost time and add nothing.
  const process = await ServerProcess.start(
    join(programs, "redis-server"),
    [...settings, "--save", "", "--dir", folder, "--maxmemory-policy", "noeviction"],
    { folder, log: join(folder, "log"), account: undefined },
  );
  const client = new Redis({ port, host: "127.0.0.1", lazyConnect: true, retryStrategy: () => 50 });
  client.on("error", () => {});
  await until(async () => (await client.ping().catch(() => "")) === "PONG", "Redis serves");
  const info = async (section: string, name: string) =>
    new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(await client.info(section))?.[1] ?? "";
  return {
    port,
    async empty() {
      await client.flushall();
      await client.bgrewriteaof();
      await until(async () => {
        const busy = await info("persistence", "aof_rewrite_in_progress");
        const due = await info("persistence", "aof_rewrite_scheduled");
        return busy === "0" && due === "0";
      }, "the append-only file is rewritten");
    },
    version: () => info("server", "redis_version"),
    async stop() {
      client.disconnect();
      await process.stop("SIGTERM");
      removeServerFolder(folder);
    },
  };
}
