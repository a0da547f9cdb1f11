import { hash32, invalidArgument } from "../../core/index.ts";
import { type BloomFilter, bytesOf, onesIn, wordsOf } from "./bloom-filter.ts";
import { checkFilterOptions, type FilterOptions, secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

/** Eight odd multipliers, one for each word of a block, as in the filters of Apache Parquet. */
const salts = Int32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b,
  0xa2b7289d,
  0x705495c7,
  0x2df1424b,
  0x9efc4947,
  0x5c6bfb31,
);
const wordsInBlock = 8;

/**
 * A Bloom filter whose bits for a key lie in one block of 256 bits, one in each of its eight words: one cache line is touched, so it is faster than the classic one when it is large, for
 * about a fifth more memory at one per cent (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; split block filters as in Apache Parquet).
 * @throws InvalidArgumentError an option is out of range; `falsePositiveRate` must be at least 0.0001
 */
export function createBlockedBloomFilter(options: FilterOptions): BloomFilter {
  const { capacity, falsePositiveRate, seed } = checkFilterOptions(options);
  if (falsePositiveRate < 1e-4)
    throw invalidArgument(
      "falsePositiveRate",
      falsePositiveRate,
      "at least 0.0001; take a classic Bloom filter for less",
    );
  const blocks = Math.max(1, Math.ceil((capacity * bitsPerKey(falsePositiveRate)) / (32 * wordsInBlock)));
  return new BlockedBloom(new Uint32Array(blocks * wordsInBlock), seed);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readBlockedBloomFilter(bytes: Uint8Array): BloomFilter {
  const { parameters, payload } = readSketch("blocked-bloom", bytes);
  assertSound(payload.length > 0 && payload.length % (4 * wordsInBlock) === 0, "blocked-bloom");
  return new BlockedBloom(wordsOf(payload), parameters[0] ?? 0);
}

/**
 * Bits for which the rate is kept. Keys fall into blocks as by a Poisson distribution; in a block with n keys the rate is (1 − (31 ÷ 32)ⁿ)⁸. Sums that over n and searches for the fewest bits.
 */
function bitsPerKey(rate: number): number {
  let low = 4;
  let high = 64;
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    if (rateAt(middle) > rate) low = middle;
    else high = middle;
  }
  return high;
}

function rateAt(bits: number): number {
  const mean = (32 * wordsInBlock) / bits;
  let rate = 0;
  let chance = Math.exp(-mean);
  for (let n = 0; n < mean * 4 + 40; n++) {
    rate += chance * (1 - (31 / 32) ** n) ** wordsInBlock;
    chance *= mean / (n + 1);
  }
  return rate;
}

class BlockedBloom implements BloomFilter {
  readonly words: Uint32Array;
  readonly seed: number;

  constructor(words: Uint32Array, seed: number) {
    this.words = words;
    this.seed = seed;
  }

  get byteLength(): number {
    return this.words.byteLength;
  }

  get estimatedCount(): number {
    const bits = this.words.length * 32;
    // Not -0.
    return 0 + Math.round((-bits / wordsInBlock) * Math.log(1 - onesIn(this.words) / bits));
  }

  add(key: string | Uint8Array): void {
    const { words } = this;
    const start = this.#block(key);
    const hash = hash32(key, secondSeed(this.seed));
    for (let i = 0; i < wordsInBlock; i++)
      words[start + i] = (words[start + i] as number) | (1 << (Math.imul(hash, salts[i] as number) >>> 27));
  }

  has(key: string | Uint8Array): boolean {
    const { words } = this;
    const start = this.#block(key);
    const hash = hash32(key, secondSeed(this.seed));
    for (let i = 0; i < wordsInBlock; i++)
      if (((words[start + i] as number) & (1 << (Math.imul(hash, salts[i] as number) >>> 27))) === 0) return false;
    return true;
  }

  merge(other: BloomFilter): void {
    assertSameParameters(this.#parameters, other instanceof BlockedBloom ? other.#parameters : {});
    const { words } = other as BlockedBloom;
    for (let i = 0; i < words.length; i++) this.words[i] = (this.words[i] as number) | (words[i] as number);
  }

  toBytes(): Uint8Array {
    return writeSketch("blocked-bloom", [this.seed], bytesOf(this.words));
  }

  get #parameters(): Readonly<Record<string, number>> {
    return { blocks: this.words.length / wordsInBlock, seed: this.seed };
  }

  #block(key: string | Uint8Array): number {
    const blocks = this.words.length / wordsInBlock;
    return Math.floor((hash32(key, this.seed) / 2 ** 32) * blocks) * wordsInBlock;
  }
}
