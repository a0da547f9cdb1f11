import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { ConformanceTarget } from "../engine/conformance/index.ts";
import { connect, type Engine } from "../engine/index.ts";
import { MemoryStore, openMemory } from "../engine/memory/index.ts";
import { openPostgres } from "../engine/postgres/index.ts";
import { openSqlite } from "../engine/sqlite/index.ts";
import { fileOf } from "./sqlite-file.ts";

/** A store to try things on, gone when it is disposed of. */
export interface Scratch extends AsyncDisposable {
  readonly target: ConformanceTarget;
}

/** A store of the same kind, on the same disk or the same server, beside the one that the URL names. */
export async function createScratch(url: string): Promise<Scratch> {
  switch (url.slice(0, url.indexOf(":")).toLowerCase()) {
    case "memory":
      return inMemory();
    case "sqlite":
      return await besideFile(fileOf(url));
    case "postgres":
    case "postgresql":
      return besideSchema(url);
    default:
      // The suite's own namespace, cleaned up as far as the contract allows.
      return { target: { open: () => connect(url) }, [Symbol.asyncDispose]: async () => {} };
  }
}

function inMemory(): Scratch {
  const store = new MemoryStore();
  const target = { open: async () => openMemory({ store }), openSeparate: async () => openMemory() };
  return { target, [Symbol.asyncDispose]: async () => {} };
}

async function besideFile(file: string): Promise<Scratch> {
  const folder = await mkdtemp(join(dirname(resolve(file)), ".ashlar-verify-"));
  const target = several((name) => openSqlite({ file: join(folder, `${name}.db`) }));
  return { target, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

function besideSchema(url: string): Scratch {
  const schemas = new Set<string>();
  const prefix = `ashlar_verify_${randomBytes(6).toString("hex")}`;
  const target = several((name) => {
    const schema = `${prefix}_${name}`;
    schemas.add(schema);
    return openPostgres({ url, schema });
  });
  const drop = async (): Promise<void> => {
    await using engine = await connect(url);
    for (const schema of schemas) await engine.transact((tx) => tx.sql.run(`drop schema if exists ${schema} cascade`));
  };
  return { target, [Symbol.asyncDispose]: drop };
}

/** One store that is shared, and any number of others. */
function several(open: (name: string) => Promise<Engine>): ConformanceTarget {
  let others = 0;
  return { open: () => open("shared"), openSeparate: () => open(`separate_${others++}`) };
}
