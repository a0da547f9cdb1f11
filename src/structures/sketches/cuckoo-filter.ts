import { hash32 } from "../../core/index.ts";
import { checkFilterOptions, type FilterOptions, type MembershipSketch, secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

/** Keys can be removed again, at a fraction of a counting Bloom filter's memory; it can become full. */
export interface CuckooFilter extends MembershipSketch {
  /** Keys in it, each as often as it was added. */
  readonly size: number;
  /**
   * Adds the key, once more if it is there: eight times at most. False: there is no room for it, and nothing has changed. With up to `capacity` different keys that does not happen but for bad luck.
   */
  add(key: string | Uint8Array): boolean;
  /**
   * Removes the key once. False: it surely was not there. Removing a key that was never added and seems to be there removes another's trace: that one may be missed.
   */
  remove(key: string | Uint8Array): boolean;
  /** Adds all that the other has. False: there is no room for it, and nothing has changed. @throws InvalidArgumentError the other has different parameters */
  merge(other: CuckooFilter): boolean;
}

type Slots = Uint8Array | Uint16Array | Uint32Array;

const slotsInBucket = 4;
/** How full it gets before adding may fail, for buckets of four (Fan et al., 2014); small filters fail earlier by chance. */
const loadFactor = (capacity: number) => (capacity < 4096 ? 0.8 : 0.95);
const mostKicks = 500;

/**
 * A cuckoo filter (Fan, Andersen, Kaminsky, Mitzenmacher, "Cuckoo Filter: Practically Better Than Bloom", 2014): buckets of four fingerprints, of 8, 16 or 32 bits, the fewest that keep the rate.
 * @throws InvalidArgumentError an option is out of range
 */
export function createCuckooFilter(options: FilterOptions): CuckooFilter {
  const { capacity, falsePositiveRate, seed } = checkFilterOptions(options);
  // Two buckets of four are compared, each a chance of 2^-bits.
  const needed = Math.log2((2 * slotsInBucket) / falsePositiveRate);
  const bits = needed <= 8 ? 8 : needed <= 16 ? 16 : 32;
  const buckets = 2 ** Math.max(1, Math.ceil(Math.log2(capacity / loadFactor(capacity) / slotsInBucket)));
  return new Cuckoo(emptySlots(bits, buckets * slotsInBucket), seed);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readCuckooFilter(bytes: Uint8Array): CuckooFilter {
  const { parameters, payload } = readSketch("cuckoo", bytes);
  const [bits = 0, seed = 0, victim = 0, victimBucket = 0] = parameters;
  const count = (payload.length * 8) / bits;
  assertSound([8, 16, 32].includes(bits) && count >= 8 && Number.isInteger(Math.log2(count)), "cuckoo");
  const slots = emptySlots(bits, count);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let i = 0; i < count; i++) {
    if (bits === 8) slots[i] = view.getUint8(i);
    else slots[i] = bits === 16 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true);
  }
  return new Cuckoo(slots, seed, victim === 0 ? undefined : { print: victim, bucket: victimBucket });
}

function emptySlots(bits: number, count: number): Slots {
  if (bits === 8) return new Uint8Array(count);
  return bits === 16 ? new Uint16Array(count) : new Uint32Array(count);
}

interface Victim {
  readonly print: number;
  readonly bucket: number;
}

/** Invariant: a fingerprint, never 0, lies in one of the two buckets of its key, or is the victim: the last to be put out, for which there was no place. While there is one, nothing is added. */
class Cuckoo implements CuckooFilter {
  #slots: Slots;
  readonly #seed: number;
  readonly #mask: number;
  #victim: Victim | undefined;
  #size: number;
  /** Which fingerprint is put out: no chance is needed for that, only variety. */
  #turn = 0;

  constructor(slots: Slots, seed: number, victim?: Victim) {
    this.#slots = slots;
    this.#seed = seed;
    this.#mask = slots.length / slotsInBucket - 1;
    this.#victim = victim;
    this.#size = victim ? 1 : 0;
    for (let slot = 0; slot < slots.length; slot++) if (slots[slot] !== 0) this.#size++;
  }

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#slots.byteLength;
  }

  add(key: string | Uint8Array): boolean {
    return this.#insert(this.#print(key), this.#bucket(key));
  }

  has(key: string | Uint8Array): boolean {
    const print = this.#print(key);
    const bucket = this.#bucket(key);
    return (
      this.#slotOf(print, bucket) >= 0 ||
      this.#slotOf(print, this.#other(print, bucket)) >= 0 ||
      this.#isVictim(print, bucket)
    );
  }

  remove(key: string | Uint8Array): boolean {
    const print = this.#print(key);
    const bucket = this.#bucket(key);
    let slot = this.#slotOf(print, bucket);
    if (slot < 0) slot = this.#slotOf(print, this.#other(print, bucket));
    if (slot >= 0) this.#slots[slot] = 0;
    else if (this.#isVictim(print, bucket)) this.#victim = undefined;
    else return false;
    this.#size--;
    const victim = this.#victim;
    if (victim) {
      this.#victim = undefined;
      this.#size--;
      this.#insert(victim.print, victim.bucket);
    }
    return true;
  }

  merge(other: CuckooFilter): boolean {
    assertSameParameters(this.#parameters, other instanceof Cuckoo ? other.#parameters : {});
    const from = other as Cuckoo;
    const before = { slots: this.#slots.slice(), victim: this.#victim, size: this.#size };
    const theirs: Victim[] = from.#victim ? [from.#victim] : [];
    for (let i = 0; i < from.#slots.length; i++) {
      const print = from.#slots[i] as number;
      if (print !== 0) theirs.push({ print, bucket: Math.floor(i / slotsInBucket) });
    }
    if (theirs.every(({ print, bucket }) => this.#insert(print, bucket))) return true;
    this.#slots = before.slots;
    this.#victim = before.victim;
    this.#size = before.size;
    return false;
  }

  toBytes(): Uint8Array {
    const { BYTES_PER_ELEMENT: width, length } = this.#slots;
    const payload = new Uint8Array(length * width);
    const view = new DataView(payload.buffer);
    for (let i = 0; i < length; i++) {
      const print = this.#slots[i] as number;
      if (width === 1) view.setUint8(i, print);
      else if (width === 2) view.setUint16(2 * i, print, true);
      else view.setUint32(4 * i, print, true);
    }
    const { print, bucket } = this.#victim ?? { print: 0, bucket: 0 };
    return writeSketch("cuckoo", [width * 8, this.#seed, print, bucket], payload);
  }

  get #parameters(): Readonly<Record<string, number>> {
    return { buckets: this.#mask + 1, bits: this.#slots.BYTES_PER_ELEMENT * 8, seed: this.#seed };
  }

  #insert(print: number, first: number): boolean {
    if (this.#victim) return false;
    const second = this.#other(print, first);
    if (!this.#put(print, first) && !this.#put(print, second)) {
      // One key that was added as often as there are places for it would leave none for any other.
      if (this.#isFullOf(print, first) && this.#isFullOf(print, second)) return false;
      this.#putOut(print, second);
    }
    this.#size++;
    return true;
  }

  /** Takes the place of another fingerprint, which goes to its other bucket, and so on; whoever is left over is the victim. */
  #putOut(first: number, from: number): void {
    let print = first;
    let bucket = from;
    for (let kick = 0; kick < mostKicks; kick++) {
      this.#turn = (Math.imul(this.#turn, 1664525) + 1013904223) >>> 0;
      const slot = bucket * slotsInBucket + (this.#turn >>> 30);
      const out = this.#slots[slot] as number;
      this.#slots[slot] = print;
      print = out;
      bucket = this.#other(print, bucket);
      if (this.#put(print, bucket)) return;
    }
    this.#victim = { print, bucket };
  }

  #put(print: number, bucket: number): boolean {
    const slot = this.#slotOf(0, bucket);
    if (slot < 0) return false;
    this.#slots[slot] = print;
    return true;
  }

  #slotOf(print: number, bucket: number): number {
    const start = bucket * slotsInBucket;
    for (let slot = start; slot < start + slotsInBucket; slot++) if (this.#slots[slot] === print) return slot;
    return -1;
  }

  #isFullOf(print: number, bucket: number): boolean {
    const start = bucket * slotsInBucket;
    for (let slot = start; slot < start + slotsInBucket; slot++) if (this.#slots[slot] !== print) return false;
    return true;
  }

  #isVictim(print: number, bucket: number): boolean {
    const victim = this.#victim;
    if (victim?.print !== print) return false;
    return victim.bucket === bucket || victim.bucket === this.#other(print, bucket);
  }

  #bucket(key: string | Uint8Array): number {
    return hash32(key, this.#seed) & this.#mask;
  }

  #print(key: string | Uint8Array): number {
    const hash = hash32(key, secondSeed(this.#seed));
    const width = this.#slots.BYTES_PER_ELEMENT;
    const print = width === 4 ? hash : hash >>> (32 - 8 * width);
    return print === 0 ? 1 : print;
  }

  /** The same from either bucket. */
  #other(print: number, bucket: number): number {
    const mixed = Math.imul(print, 0x5bd1e995);
    return (bucket ^ (mixed ^ (mixed >>> 15))) & this.#mask;
  }
}
