import type { Policy } from "./policy.ts";
import { Links, SlotList } from "./slot-list.ts";

/**
 * The entry that was used least often since it came in leaves; of several, the one not used for the longest time. In constant time: entries of one
 * frequency form a list, and the lists stand in a list by frequency (Shah, Mitra, Matani: "An O(1) algorithm for implementing the LFU
 * cache eviction scheme", 2010). Nothing ages: what was popular once stays until it is deleted or expires.
 */
export function createLfu(): Policy {
  return new Lfu();
}

/** The entries of one frequency. Invariant: not empty, but for a moment. */
interface Bucket {
  readonly frequency: number;
  readonly entries: SlotList;
  lower: Bucket | undefined;
  higher: Bucket | undefined;
}

class Lfu implements Policy {
  readonly #links = new Links();
  #bucketOf: (Bucket | undefined)[] = [];
  #lowest: Bucket | undefined;

  grow(slots: number): void {
    this.#links.grow(slots);
  }

  insert(slot: number): void {
    if (this.#lowest?.frequency !== 1) this.#lowest = this.#createBucket(1, undefined, this.#lowest);
    this.#put(slot, this.#lowest);
  }

  access(slot: number): void {
    const bucket = this.#bucketOf[slot] as Bucket;
    const frequency = bucket.frequency + 1;
    const higher =
      bucket.higher?.frequency === frequency ? bucket.higher : this.#createBucket(frequency, bucket, bucket.higher);
    this.#take(slot, bucket);
    this.#put(slot, higher);
  }

  evict(): number {
    const bucket = this.#lowest as Bucket;
    const slot = bucket.entries.tail;
    this.#take(slot, bucket);
    return slot;
  }

  remove(slot: number): void {
    this.#take(slot, this.#bucketOf[slot] as Bucket);
  }

  clear(): void {
    this.#bucketOf = [];
    this.#lowest = undefined;
  }

  #put(slot: number, bucket: Bucket): void {
    bucket.entries.pushHead(slot);
    this.#bucketOf[slot] = bucket;
  }

  #take(slot: number, bucket: Bucket): void {
    bucket.entries.remove(slot);
    this.#bucketOf[slot] = undefined;
    if (bucket.entries.size > 0) return;
    if (bucket.lower) bucket.lower.higher = bucket.higher;
    else this.#lowest = bucket.higher;
    if (bucket.higher) bucket.higher.lower = bucket.lower;
  }

  #createBucket(frequency: number, lower: Bucket | undefined, higher: Bucket | undefined): Bucket {
    const bucket = { frequency, entries: new SlotList(this.#links), lower, higher };
    if (lower) lower.higher = bucket;
    if (higher) higher.lower = bucket;
    return bucket;
  }
}
