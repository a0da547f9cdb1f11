import type { Key, KeyPart, KeyRange } from "../../core/index.ts";
import type { Engine, Entry, ListOptions, Mutation, Version } from "../contract.ts";

/** All entries of the range. */
export function listAll<V = unknown>(engine: Engine, range: KeyRange, options?: ListOptions): Promise<Entry<V>[]> {
  return Array.fromAsync(engine.kv.list<V>(range, options));
}

/** The keys of the range. */
export async function listKeys(engine: Engine, range: KeyRange, options?: ListOptions): Promise<KeyPart[][]> {
  return (await listAll(engine, range, options)).map(({ key }) => key);
}

/** The values of the range. */
export async function listValues(engine: Engine, range: KeyRange, options?: ListOptions): Promise<unknown[]> {
  return (await listAll(engine, range, options)).map(({ value }) => value);
}

/** The value of the key, or `undefined`. */
export async function getValue(engine: Engine, key: Key): Promise<unknown> {
  return (await engine.kv.get(key))?.value;
}

/** The version of the key, or `undefined`. */
export async function getVersion(engine: Engine, key: Key): Promise<Version | undefined> {
  return (await engine.kv.get(key))?.version;
}

/** Sets the keys, each to its place in the array, in as few commits as the limits allow. */
export async function fill(engine: Engine, keys: readonly Key[]): Promise<void> {
  const size = Math.min(engine.limits.operations, 500);
  for (let from = 0; from < keys.length; from += size) {
    const mutations = keys.slice(from, from + size).map((key, i): Mutation => ({ set: key, value: from + i }));
    await engine.kv.commit({ mutations });
  }
}

/** 0 to `count` - 1. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
