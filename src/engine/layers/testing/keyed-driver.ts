import assert from "node:assert/strict";
import { type Runtime, systemRuntime } from "../../../core/index.ts";
import type { Limits } from "../../contract.ts";
import type { Driver, RawCommit, RawEntry } from "../../driver.ts";
import { createMemoryDriver } from "../../memory/driver.ts";
import type { MemoryStore } from "../../memory/store.ts";

export interface KeyedDriverOptions {
  readonly limits?: Partial<Limits>;
  /** Each call takes up to so many turns of the event loop, drawn from the runtime. Default: answers at once. */
  readonly turns?: number;
  readonly runtime?: Runtime;
  readonly inFlight?: number;
}

/** A driver over a memory store that has keys and nothing else, and that insists on its limits and its flush policy. */
export function createKeyedDriver(
  store: MemoryStore,
  options: KeyedDriverOptions = {},
): Driver & { readonly calls: { commits: number[] } } {
  const { turns = 0, runtime = systemRuntime, inFlight = 1 } = options;
  const { log: _, bus: __, ...memory } = createMemoryDriver(store);
  const limits = { ...memory.limits, ...options.limits };
  const calls = { commits: [] as number[] };
  let flying = 0;
  const pause = () => elapse(runtime, Math.floor(runtime.random.next() * (turns + 1)));
  return {
    ...memory,
    calls,
    limits,
    flush: { commits: 64, bytes: 1024 * 1024, inFlight, immediate: false },
    async getMany(keys, read) {
      assert.ok(keys.length <= limits.operations, `getMany of ${keys.length} keys`);
      await pause();
      const entries = await memory.getMany(keys, read);
      await pause();
      return entries;
    },
    async list(range, read) {
      assert.ok(read.limit >= 1 && read.limit <= limits.listEntries, `a list of ${read.limit} entries`);
      await pause();
      const entries: RawEntry[] = await memory.list(range, read);
      await pause();
      return entries;
    },
    async commitMany(commits) {
      for (const commit of commits) assertWithin(commit, limits);
      calls.commits.push(commits.length);
      assert.ok(++flying <= inFlight, `${flying} calls of commitMany in flight`);
      await pause();
      const outcomes = await memory.commitMany(commits);
      await pause();
      flying--;
      return outcomes;
    },
  };
}

function assertWithin({ checks, mutations, bytes }: RawCommit, limits: Limits): void {
  let size = 0;
  const withinKey = (key: Uint8Array) => assert.ok(key.length <= limits.keyBytes, `a key of ${key.length} bytes`);
  for (const check of checks) if (check.kind === "key") size += check.key.length;
  for (const mutation of mutations) {
    assert.notEqual(mutation.kind, "append", "a driver without a log was given an append");
    if (mutation.kind === "append") continue;
    withinKey(mutation.key);
    size += mutation.key.length;
    if (mutation.kind !== "set") continue;
    assert.ok(mutation.value.length <= limits.valueBytes, `a value of ${mutation.value.length} bytes`);
    size += mutation.value.length;
  }
  const operations = checks.length + mutations.length;
  assert.ok(operations <= limits.operations, `${operations} operations`);
  assert.ok(size <= limits.commitBytes, `a commit of ${size} bytes`);
  assert.ok(
    bytes >= size * 0.9 || mutations.every(({ kind }) => kind === "delete"),
    `a commit of ${size} bytes claims ${bytes}`,
  );
}

/** Lets so many turns of the event loop pass. */
async function elapse(runtime: Runtime, turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => void runtime.timers.immediate(resolve));
}
