import { GhostTable } from "./ghost-table.ts";
import { hashKey } from "./key-hash.ts";
import type { Policy } from "./policy.ts";
import { grown, Links, none, SlotList } from "./slot-list.ts";

/** Segments of a slot. */
const SMALL = 1;
const MAIN = 2;

/** Of the entries, in the small queue. */
const smallShare = 0.1;
/** Two bits. */
const highestFrequency = 3;

/**
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak: "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1): a small queue, where new
 * entries prove themselves, a main queue, and a ghost queue of the keys that failed in the small one. A read sets two bits and moves nothing. Scans pass through
 * the small queue and leave the main one alone.
 *
 * Ghosts are hashes: those of as many evictions from the small queue as the main queue has room for. Where the paper evicts from a full main queue while it promotes,
 * here the caller's loop does so in its next round: the bound is on both queues together. The shares are shares of
 * the number of entries; without a bound on that, of the number there are now.
 */
export function createS3Fifo(capacity: number): Policy {
  return new S3Fifo(capacity);
}

class S3Fifo implements Policy {
  /** Of the small queue, and of ghosts; 0 if they follow the number of entries. */
  readonly #smallFixed: number;
  readonly #ghostsFixed: number;
  readonly #links = new Links();
  readonly #small = new SlotList(this.#links);
  readonly #main = new SlotList(this.#links);
  readonly #ghosts = new GhostTable();
  #segment = new Uint8Array(0);
  #frequency = new Uint8Array(0);
  #hash = new Uint32Array(0);

  constructor(capacity: number) {
    const bounded = capacity !== Number.POSITIVE_INFINITY;
    this.#smallFixed = bounded ? smallOf(capacity) : 0;
    this.#ghostsFixed = bounded ? capacity - this.#smallFixed : 0;
  }

  grow(slots: number): void {
    this.#links.grow(slots);
    this.#ghosts.grow(slots);
    this.#segment = grown(this.#segment, slots);
    this.#frequency = grown(this.#frequency, slots);
    this.#hash = grown(this.#hash, slots);
  }

  insert(slot: number, key: unknown): void {
    const hash = hashKey(key);
    this.#hash[slot] = hash;
    this.#frequency[slot] = 0;
    if (this.#ghosts.take(hash, this.#ghostTarget())) this.#put(slot, MAIN, this.#main);
    else this.#put(slot, SMALL, this.#small);
  }

  access(slot: number): void {
    const frequency = this.#frequency[slot] as number;
    if (frequency < highestFrequency) this.#frequency[slot] = frequency + 1;
  }

  evict(): number {
    for (;;) {
      const fromSmall = this.#small.size > 0 && (this.#small.size >= this.#smallTarget() || this.#main.size === 0);
      const evicted = fromSmall ? this.#evictFromSmall() : this.#evictFromMain();
      if (evicted !== none) return evicted;
    }
  }

  remove(slot: number): void {
    (this.#segment[slot] === SMALL ? this.#small : this.#main).remove(slot);
  }

  clear(): void {
    this.#small.clear();
    this.#main.clear();
    this.#ghosts.clear();
  }

  /** `none` if all of the small queue went over to the main one. */
  #evictFromSmall(): number {
    for (let slot = this.#small.tail; slot !== none; slot = this.#small.tail) {
      this.#small.remove(slot);
      if ((this.#frequency[slot] as number) <= 1) {
        this.#ghosts.add(this.#hash[slot] as number, this.#ghostTarget());
        return slot;
      }
      this.#frequency[slot] = 0;
      this.#put(slot, MAIN, this.#main);
    }
    return none;
  }

  #evictFromMain(): number {
    for (;;) {
      const slot = this.#main.tail;
      const frequency = this.#frequency[slot] as number;
      if (frequency === 0) {
        this.#main.remove(slot);
        return slot;
      }
      this.#frequency[slot] = frequency - 1;
      this.#main.moveToHead(slot);
    }
  }

  #put(slot: number, segment: number, list: SlotList): void {
    this.#segment[slot] = segment;
    list.pushHead(slot);
  }

  #smallTarget(): number {
    return this.#smallFixed === 0 ? smallOf(this.#small.size + this.#main.size) : this.#smallFixed;
  }

  #ghostTarget(): number {
    if (this.#smallFixed !== 0) return this.#ghostsFixed;
    const entries = this.#small.size + this.#main.size;
    return entries - smallOf(entries);
  }
}

function smallOf(entries: number): number {
  return Math.max(1, Math.floor(entries * smallShare));
}
