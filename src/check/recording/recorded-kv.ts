import type { Key } from "../../core/index.ts";
import { keyName } from "../../core/index.ts";
import type { Engine, Entry } from "../../engine/index.ts";
import type { Recorder } from "../recorder.ts";

/** A client of an engine's keys that does the operations of the model "key-value" and records each of them. Values are JSON. */
export interface RecordedKv {
  /** The value, or `null`. */
  get(key: Key): Promise<unknown>;
  set(key: Key, value: unknown): Promise<void>;
  delete(key: Key): Promise<void>;
  /** Adds to an integer; resolves with the sum. */
  add(key: Key, delta: number): Promise<number>;
  /** Replaces the expected value (`null`: absent) by another; false if it found a different one. */
  cas(key: Key, expected: unknown, value: unknown): Promise<boolean>;
}

export interface RecordOptions {
  readonly recorder: Recorder;
  /** The session that the operations belong to. */
  readonly client: string;
}

/**
 * Wraps an engine for a history that `linearizable(keyValue)` judges. It takes nothing from the engine but what the contract says, so it serves in
 * simulations and on real servers alike.
 */
export function recordKv(engine: Pick<Engine, "kv">, { recorder, client }: RecordOptions): RecordedKv {
  const { kv } = engine;
  const record = <T>(name: string, key: Key, input: unknown, run: () => Promise<T>): Promise<T> =>
    recorder.record({ client, name, key: keyName(key), ...(input !== undefined && { input }) }, run);
  return {
    get: (key) => record("get", key, undefined, async () => valueIn(await kv.get(key))),
    set: (key, value) => record("set", key, value, async () => void (await kv.set(key, value))),
    delete: (key) => record("delete", key, undefined, async () => void (await kv.delete(key))),
    add: (key, delta) => record("add", key, delta, () => kv.add(key, delta)),
    cas: (key, expected, value) =>
      record("cas", key, { expected, value }, () => compareAndSet(engine, key, expected, value)),
  };
}

function valueIn(entry: Entry | undefined): unknown {
  return entry === undefined ? null : entry.value;
}

/** Looks, and writes if nobody has written since; looks again if somebody has. */
async function compareAndSet(
  { kv }: Pick<Engine, "kv">,
  key: Key,
  expected: unknown,
  value: unknown,
): Promise<boolean> {
  for (;;) {
    const entry = await kv.get(key);
    if (JSON.stringify(valueIn(entry)) !== JSON.stringify(expected)) return false;
    const mutation = value === null ? { delete: key } : { set: key, value };
    const outcome = await kv.tryCommit({ checks: [{ key, version: entry?.version }], mutations: [mutation] });
    if (outcome.ok) return true;
  }
}
