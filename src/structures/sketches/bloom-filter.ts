import { hash32 } from "../../core/index.ts";
import { checkFilterOptions, type FilterOptions, type MembershipSketch, secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

/** Keys are added and never removed. */
export interface BloomFilter extends MembershipSketch {
  add(key: string | Uint8Array): void;
  /** Afterwards it has what either had. @throws InvalidArgumentError the other has different parameters */
  merge(other: BloomFilter): void;
  /** About how many different keys were added, from the bits that are set (Swamidass and Baldi, 2007). `Infinity`: it is full. */
  readonly estimatedCount: number;
}

/**
 * A Bloom filter (B. Bloom, 1970): −ln(p) ÷ ln²(2) bits a key, 9.6 for one per cent. Positions come from two hashes (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006).
 * @throws InvalidArgumentError an option is out of range
 */
export function createBloomFilter(options: FilterOptions): BloomFilter {
  const { capacity, falsePositiveRate, seed } = checkFilterOptions(options);
  const bits = Math.max(64, Math.ceil((-capacity * Math.log(falsePositiveRate)) / Math.LN2 ** 2));
  const words = Math.ceil(bits / 32);
  const hashes = Math.max(1, Math.round(((words * 32) / capacity) * Math.LN2));
  return new ClassicBloom(new Uint32Array(words), Math.min(hashes, 32), seed);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readBloomFilter(bytes: Uint8Array): BloomFilter {
  const { parameters, payload } = readSketch("bloom", bytes);
  const [hashes = 0, seed = 0] = parameters;
  assertSound(
    Number.isInteger(hashes) && hashes >= 1 && hashes <= 32 && payload.length >= 8 && payload.length % 4 === 0,
    "bloom",
  );
  return new ClassicBloom(wordsOf(payload), hashes, seed);
}

/** Little-endian, whatever the machine is. */
export function wordsOf(payload: Uint8Array): Uint32Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return Uint32Array.from({ length: payload.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

export function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, words[i] as number, true);
  return bytes;
}

export function onesIn(words: Uint32Array): number {
  let ones = 0;
  for (let word of words) {
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    ones += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return ones;
}

class ClassicBloom implements BloomFilter {
  readonly words: Uint32Array;
  readonly hashes: number;
  readonly seed: number;

  constructor(words: Uint32Array, hashes: number, seed: number) {
    this.words = words;
    this.hashes = hashes;
    this.seed = seed;
  }

  get byteLength(): number {
    return this.words.byteLength;
  }

  get estimatedCount(): number {
    const bits = this.words.length * 32;
    // Not -0.
    return 0 + Math.round((-bits / this.hashes) * Math.log(1 - onesIn(this.words) / bits));
  }

  add(key: string | Uint8Array): void {
    const { words } = this;
    const bits = words.length * 32;
    let at = hash32(key, this.seed) % bits;
    const step = (hash32(key, secondSeed(this.seed)) % (bits - 1)) + 1;
    for (let i = 0; i < this.hashes; i++) {
      words[at >>> 5] = (words[at >>> 5] as number) | (1 << (at & 31));
      at += step;
      if (at >= bits) at -= bits;
    }
  }

  has(key: string | Uint8Array): boolean {
    const { words } = this;
    const bits = words.length * 32;
    let at = hash32(key, this.seed) % bits;
    const step = (hash32(key, secondSeed(this.seed)) % (bits - 1)) + 1;
    for (let i = 0; i < this.hashes; i++) {
      if (((words[at >>> 5] as number) & (1 << (at & 31))) === 0) return false;
      at += step;
      if (at >= bits) at -= bits;
    }
    return true;
  }

  merge(other: BloomFilter): void {
    assertSameParameters(this.#parameters, other instanceof ClassicBloom ? other.#parameters : {});
    const { words } = other as ClassicBloom;
    for (let i = 0; i < words.length; i++) this.words[i] = (this.words[i] as number) | (words[i] as number);
  }

  toBytes(): Uint8Array {
    return writeSketch("bloom", [this.hashes, this.seed], bytesOf(this.words));
  }

  get #parameters(): Readonly<Record<string, number>> {
    return { bits: this.words.length * 32, hashes: this.hashes, seed: this.seed };
  }
}
