import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";
import { findPostgres } from "../test/servers/postgres.ts";

/** What the numbers depend on, besides the code. */
export function describeMachine(): string[] {
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} processors, ${memory} GiB, ${type()} ${release()}`,
    `Node ${process.versions.node}, SQLite ${process.versions["sqlite"]}${versionOf("pg")}${versionOf("@deno/kv")}${postgresVersion()}`,
    `load ${load()} before`,
  ];
}

/** Load averages of the last minute and the last five. */
export function load(): string {
  return loadavg()
    .slice(0, 2)
    .map((value) => value.toFixed(1))
    .join(", ");
}

function versionOf(name: string): string {
  try {
    const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
    return `, ${name} ${JSON.parse(readFileSync(manifest, "utf8")).version}`;
  } catch {
    return "";
  }
}

function postgresVersion(): string {
  const version = /\/postgresql\/(\d+)\//.exec(findPostgres() ?? "")?.[1];
  return version === undefined ? "" : `, PostgreSQL ${version}`;
}
