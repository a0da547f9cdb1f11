import assert from "node:assert/strict";
import { decodeKey, isAshlarError, sleep } from "../../core/index.ts";
import type { EngineServer, Scenario, SimulatedNode, World } from "../../simulation/index.ts";
import { systemSpace } from "../namespaces.ts";
import { keysOnlyServer } from "./keys-only-server.sim.ts";

/** The server of the run, to look into the keys that the contract hides. */
let server: EngineServer | undefined;

/**
 * Large objects that are put, replaced, deleted and given up half-way by processes that crash: no chunk of a live object is ever missing, and
 * in the end no other chunk is left.
 */
export const blobGarbage: Scenario = {
  name: "blobs: garbage",
  faults: ["engine", "network", "process", "code"],
  nodes: { writer: { count: 2, start: write } },
  engine: (runtime) => {
    server = keysOnlyServer(runtime);
    return server;
  },
  workload: { clients: 1, operations: 20, think: 500, operation: replaceOrDelete },
  invariants: { "no live object lacks a chunk": whole },
  eventually: { "only chunks of live objects are left": clean },
  budget: { heal: "3h", events: 5_000_000 },
};

const chunkBytes = 128 * 1024;

async function write({ engine, runtime, state }: SimulatedNode): Promise<void> {
  const pick = (n: number) => Math.floor(runtime.random.next() * n);
  void (async () => {
    for (;;) {
      // When the faults are over, small objects alone: they keep the collector going, and leave nothing to be collected.
      const over = state.get("over") === true;
      const size = over ? 10 : pick(5) * chunkBytes;
      await sleep(runtime, over ? 15_000 : 200 + pick(1_000));
      await engine.blob.put([over ? "small" : `object-${pick(3)}`], new Uint8Array(size)).catch(expected);
    }
  })();
}

async function replaceOrDelete({ engine, runtime }: Parameters<Scenario["workload"]["operation"]>[0]): Promise<void> {
  const key = [`object-${Math.floor(runtime.random.next() * 3)}`];
  if (runtime.random.next() < 0.5) await engine.blob.delete(key);
  else await engine.blob.put(key, new Uint8Array(2 * chunkBytes));
}

function expected(error: unknown): void {
  if (!isAshlarError(error) || error.code === "INVALID_ARGUMENT") throw error;
}

/** Chunks and uploads in the store, by object: `["chunk", id, index]`, `["upload", id]`. */
async function hidden(): Promise<{ readonly chunks: Map<string, number>; readonly uploads: number }> {
  const prefix = systemSpace("blob");
  const end = Uint8Array.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  const found = await server?.open().list({ start: prefix, end }, { limit: 1_000, reverse: false });
  const chunks = new Map<string, number>();
  let uploads = 0;
  for (const { key } of found ?? []) {
    const [kind, id] = decodeKey(key.subarray(prefix.length));
    if (kind === "upload") uploads++;
    if (kind === "chunk") chunks.set(String(id), (chunks.get(String(id)) ?? 0) + 1);
  }
  return { chunks, uploads };
}

/** The chunks that each live object must have, by its etag. */
async function live({ engine }: World): Promise<Map<string, number>> {
  const needed = new Map<string, number>();
  for await (const { etag, size } of engine.blob.list({})) if (size >= chunkBytes) needed.set(etag, size / chunkBytes);
  return needed;
}

async function whole(world: World): Promise<void> {
  const [needed, { chunks }] = [await live(world), await hidden()];
  for (const [etag, count] of needed) assert.equal(chunks.get(etag), count, `object ${etag}`);
}

async function clean(world: World): Promise<boolean> {
  world.state.set("over", true);
  const [needed, { chunks, uploads }] = [await live(world), await hidden()];
  assert.equal(uploads, 0, `${uploads} uploads are left`);
  assert.deepEqual(chunks, needed);
  return true;
}
