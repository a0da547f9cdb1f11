import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Key, type Runtime, systemRuntime } from "../../../core/index.ts";
import type { ManualRuntime } from "../../../core/testing/manual-runtime.ts";
import { type Batch, type Blobs, type Kv, type Limits, portableLimits, type ReadOptions } from "../../contract.ts";
import { MemoryStore, openMemory } from "../../memory/index.ts";
import { type BlobStore, createBlobStore } from "../blobs.ts";
import { EngineClock } from "../engine-clock.ts";

export const minute = 60_000;
export const hour = 60 * minute;

/** What a test may do to the commits and reads of one client. */
export interface Meddling {
  /** Called before each commit; what it throws is the commit's failure, and nothing is applied. */
  before?: (batch: Batch) => unknown;
  /** Called after each commit that was applied; what it throws is all that the caller hears. */
  after?: (batch: Batch) => unknown;
  /** Called before each `get`. */
  get?: (key: Key) => unknown;
  /** Called before each `getMany`. */
  read?: (keys: readonly Key[]) => unknown;
}

/** One client of a store of objects. */
export interface BlobClient {
  readonly kv: Kv;
  readonly store: BlobStore;
  readonly blobs: Blobs;
  readonly meddling: Meddling;
  /** Keys in the store by their kind. */
  count(kind: string): Promise<number>;
  close(): Promise<void>;
}

export function openBlobs(
  store = new MemoryStore(),
  runtime: Runtime = systemRuntime,
  limits: Partial<Limits> = {},
): BlobClient {
  const engine = openMemory({ store, runtime });
  const { kv } = engine;
  const meddling: Meddling = {};
  const tryCommit: Kv["tryCommit"] = async (batch, options) => {
    await meddling.before?.(batch);
    const outcome = await kv.tryCommit(batch, options);
    await meddling.after?.(batch);
    return outcome;
  };
  const getMany: Kv["getMany"] = async (keys, options) => {
    await meddling.read?.(keys);
    return await kv.getMany(keys, options);
  };
  const get = async (key: Key, options?: ReadOptions) => {
    await meddling.get?.(key);
    return await kv.get(key, options);
  };
  const meddled = { get, list: kv.list.bind(kv), getMany, tryCommit } as unknown as Kv;
  const clock = new EngineClock({ now: async () => runtime.clock.now(), guarantees: engine.guarantees }, runtime);
  const objects = createBlobStore({ kv: meddled, limits: { ...portableLimits, ...limits }, runtime, clock });
  return {
    kv,
    store: objects,
    blobs: objects.under([]),
    meddling,
    count: async (kind) => (await Array.fromAsync(kv.list({ prefix: [kind] }))).length,
    close: () => engine.close(),
  };
}

export function bytesOf(size: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0, state = seed; i < size; i++) {
    state = (Math.imul(state, 0x19660d) + 0x3c6ef35f) | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function read(
  blobs: Blobs,
  key: Key,
  range?: { start: number; end?: number },
): Promise<Uint8Array | undefined> {
  return await (await blobs.get(key, range ? { range } : {}))?.bytes();
}

/** Compared without printing megabytes. */
export function assertSame(found: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(
    found && Buffer.compare(found, expected) === 0,
    `${found?.length} bytes, expected ${expected.length} or others`,
  );
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Lets what is ready run, timers of the runtime included, until the work is done. */
export async function settle<T>(runtime: ManualRuntime, work: Promise<T>): Promise<T> {
  let over = false;
  const ended = () => {
    over = true;
  };
  work.then(ended, ended);
  for (let i = 0; i < 10_000 && !over; i++) await runtime.advance(1);
  assert.ok(over, "the work does not come to an end");
  return await work;
}

/** The first commit that does this. */
export function once(condition: (batch: Batch) => boolean, action: () => unknown): (batch: Batch) => unknown {
  let done = false;
  return (batch) => {
    if (done || !condition(batch)) return undefined;
    done = true;
    return action();
  };
}

export function touches(kind: string, verb: "set" | "delete" = "set"): (batch: Batch) => boolean {
  return ({ mutations = [] }) =>
    mutations.some((mutation) => verb in mutation && (mutation as { set: Key })[verb as "set"][0] === kind);
}
