import { hash32 } from "../../core/index.ts";
import { checkFilterOptions, type FilterOptions, type MembershipSketch, secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

/** Keys can be removed again. */
export interface CountingBloomFilter extends MembershipSketch {
  add(key: string | Uint8Array): void;
  /**
   * Removes a key that was added; once for each time. False, and nothing happens, if it surely was not. Removing a key that was never added and seems to be there damages the filter: others
   * may be missed.
   */
  remove(key: string | Uint8Array): boolean;
  /** Afterwards it has what either had. @throws InvalidArgumentError the other has different parameters */
  merge(other: CountingBloomFilter): void;
}

/** A counter that has come so far stays there: it has been added to too often to know when to go back to 0. */
const full = 255;

/**
 * A Bloom filter with a counter of eight bits in the place of each bit (Fan, Cao, Almeida, Broder, "Summary Cache", 2000): eight times the memory of the classic one, where four bits would
 * do for random keys, because real ones repeat.
 * @throws InvalidArgumentError an option is out of range
 */
export function createCountingBloomFilter(options: FilterOptions): CountingBloomFilter {
  const { capacity, falsePositiveRate, seed } = checkFilterOptions(options);
  const counters = Math.max(64, Math.ceil((-capacity * Math.log(falsePositiveRate)) / Math.LN2 ** 2));
  const hashes = Math.min(32, Math.max(1, Math.round((counters / capacity) * Math.LN2)));
  return new CountingBloom(new Uint8Array(counters), hashes, seed);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readCountingBloomFilter(bytes: Uint8Array): CountingBloomFilter {
  const { parameters, payload } = readSketch("counting-bloom", bytes);
  const [hashes = 0, seed = 0] = parameters;
  assertSound(Number.isInteger(hashes) && hashes >= 1 && hashes <= 32 && payload.length >= 64, "counting-bloom");
  return new CountingBloom(payload, hashes, seed);
}

class CountingBloom implements CountingBloomFilter {
  readonly counters: Uint8Array;
  readonly hashes: number;
  readonly seed: number;

  constructor(counters: Uint8Array, hashes: number, seed: number) {
    this.counters = counters;
    this.hashes = hashes;
    this.seed = seed;
  }

  get byteLength(): number {
    return this.counters.byteLength;
  }

  add(key: string | Uint8Array): void {
    for (const at of this.#places(key)) {
      const count = this.counters[at] as number;
      if (count < full) this.counters[at] = count + 1;
    }
  }

  remove(key: string | Uint8Array): boolean {
    if (!this.has(key)) return false;
    for (const at of this.#places(key)) {
      const count = this.counters[at] as number;
      if (count < full && count > 0) this.counters[at] = count - 1;
    }
    return true;
  }

  has(key: string | Uint8Array): boolean {
    const { length } = this.counters;
    let at = hash32(key, this.seed) % length;
    const step = this.#step(key);
    for (let i = 0; i < this.hashes; i++) {
      if (this.counters[at] === 0) return false;
      at = (at + step) % length;
    }
    return true;
  }

  merge(other: CountingBloomFilter): void {
    assertSameParameters(this.#parameters, other instanceof CountingBloom ? other.#parameters : {});
    const { counters } = other as CountingBloom;
    for (let i = 0; i < counters.length; i++)
      this.counters[i] = Math.min(full, (this.counters[i] as number) + (counters[i] as number));
  }

  toBytes(): Uint8Array {
    return writeSketch("counting-bloom", [this.hashes, this.seed], this.counters);
  }

  get #parameters(): Readonly<Record<string, number>> {
    return { counters: this.counters.length, hashes: this.hashes, seed: this.seed };
  }

  #step(key: string | Uint8Array): number {
    return (hash32(key, secondSeed(this.seed)) % (this.counters.length - 1)) + 1;
  }

  /** Each once: a place that comes up twice for a key is counted once when it is added, and once when it is removed. */
  #places(key: string | Uint8Array): ReadonlySet<number> {
    const { length } = this.counters;
    const places = new Set<number>();
    let at = hash32(key, this.seed) % length;
    const step = this.#step(key);
    for (let i = 0; i < this.hashes; i++) {
      places.add(at);
      at = (at + step) % length;
    }
    return places;
  }
}
