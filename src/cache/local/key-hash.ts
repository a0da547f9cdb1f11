const identities = new WeakMap<WeakKey, number>();
let nextIdentity = 1;

/** 32 bits of any key, the same whenever `Map` takes two keys for the same. Not resistant to someone who looks for collisions. */
export function hashKey(key: unknown): number {
  switch (typeof key) {
    case "string":
      return hashString(key);
    case "number":
      return Number.isInteger(key) ? hashNumber(key) : hashString(String(key));
    case "object":
    case "function":
      return key === null ? 0 : hashNumber(identityOf(key));
    case "symbol":
      return hashString(key.description ?? "");
    default:
      return hashString(String(key));
  }
}

/** FNV-1a over UTF-16 units, then mixed. */
function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
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
