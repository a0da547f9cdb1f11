import { encodeUtf8 } from "./bytes.ts";
import { invalidArgument } from "./errors.ts";

const c1 = 0xcc9e2d51;
const c2 = 0x1b873593;

/**
 * MurmurHash3 for x86, 32 bits (A. Appleby, public domain), of bytes or of the UTF-8 bytes of a text: the same number for the same key in every process
 * and release. Not for keys that an enemy may choose to collide.
 * @param seed 32 bits; hashes with different seeds are independent of each other
 * @returns 0 to 4,294,967,295
 */
export function hash32(key: string | Uint8Array, seed = 0): number {
  if (typeof key === "string") return hashText(key, seed);
  if (!(key instanceof Uint8Array)) throw invalidArgument("key", key, "a text or bytes");
  return hashBytes(key, seed);
}

/** Characters are bytes as long as they are ASCII, which nearly all keys are: nothing is encoded then. */
function hashText(text: string, seed: number): number {
  const { length } = text;
  const whole = length & ~3;
  let hash = seed;
  for (let i = 0; i < whole; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    if ((a | b | c | d) > 0x7f) return hashBytes(encodeUtf8(text), seed);
    hash = mixBlock(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  let tail = 0;
  for (let i = length - 1; i >= whole; i--) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return hashBytes(encodeUtf8(text), seed);
    tail = (tail << 8) | code;
  }
  return finish(hash, tail, length);
}

function hashBytes(bytes: Uint8Array, seed: number): number {
  const { length } = bytes;
  const whole = length & ~3;
  let hash = seed;
  for (let i = 0; i < whole; i += 4) {
    const block =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    hash = mixBlock(hash, block);
  }
  let tail = 0;
  for (let i = length - 1; i >= whole; i--) tail = (tail << 8) | (bytes[i] as number);
  return finish(hash, tail, length);
}

function mixBlock(hash: number, block: number): number {
  const mixed = hash ^ scramble(block);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function scramble(block: number): number {
  const product = Math.imul(block, c1);
  return Math.imul((product << 15) | (product >>> 17), c2);
}

function finish(hash: number, tail: number, length: number): number {
  let mixed = hash ^ scramble(tail) ^ length;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
