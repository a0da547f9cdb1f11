import { encodeKey, hash32, type Key } from "../../core/index.ts";

/** The shard of a key, the same in every process and release: the hash of a text, or of the encoded bytes of a tuple, scaled to the number of shards. */
export function shardOf(key: string | Key, shards: number): number {
  return Math.floor((hash32(typeof key === "string" ? key : encodeKey(key)) / 2 ** 32) * shards);
}
