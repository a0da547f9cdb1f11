import { encodeKey, encodeUtf8, type Key } from "../../core/index.ts";

/**
 * The shard of a key, the same in every process and release: FNV-1a over the UTF-8 bytes of a text, or over the encoded bytes of a tuple, 32 bits, finished by the mixer of
 * MurmurHash3, and scaled to the number of shards.
 */
export function shardOf(key: string | Key, shards: number): number {
  return Math.floor((mix(fnv1a(typeof key === "string" ? encodeUtf8(key) : encodeKey(key))) / 2 ** 32) * shards);
}

function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

/** `fmix32` of MurmurHash3 (A. Appleby): every bit of the input flips every bit of the result with probability one half. */
function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
