import { hash32 } from "../../core/index.ts";

const identities = new WeakMap<WeakKey, number>();
let nextIdentity = 1;

/** 32 bits of any key, the same whenever `Map` takes two keys for the same. Not resistant to someone who looks for collisions. */
export function hashKey(key: unknown): number {
  switch (typeof key) {
    case "string":
      return hash32(key);
    case "number":
      return Number.isInteger(key) ? hashNumber(key) : hash32(String(key));
    case "object":
    case "function":
      return key === null ? 0 : hashNumber(identityOf(key));
    case "symbol":
      return hash32(key.description ?? "");
    default:
      return hash32(String(key));
  }
}

function hashNumber(value: number): number {
  return mix((value | 0) ^ Math.imul(Math.floor(value / 2 ** 32) | 0, 0x9e3779b1));
}

function identityOf(key: WeakKey): number {
  let identity = identities.get(key);
  if (identity === undefined) {
    identity = nextIdentity++;
    identities.set(key, identity);
  }
  return identity;
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
