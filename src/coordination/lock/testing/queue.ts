import type { Key } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Resource } from "../resource.ts";

/** Resolves once exactly so many claims wait for it. */
export async function waiting(
  engine: Engine,
  name: string,
  count: number,
  kind: Resource["kind"] = "lock",
): Promise<void> {
  const prefix = ["lock", kind, name, "queue"];
  for await (const _ of engine.kv.watch({ prefix })) {
    if ((await Array.fromAsync(engine.kv.list({ prefix }))).length === count) return;
  }
}

/** What locks have in the store of holds and waits; counters and marks aside. Names and parts of keys, with their values' weights. */
export async function claimsIn(engine: Engine): Promise<Key[]> {
  const keys: Key[] = [];
  for await (const { key } of engine.kv.list({ prefix: ["lock"] }))
    if (key[3] === "held" || key[3] === "queue") keys.push(key);
  return keys;
}
