import { FrequencySketch } from "./frequency-sketch.ts";
import { hashKey } from "./key-hash.ts";
import type { Policy } from "./policy.ts";
import { grown, Links, none, SlotList } from "./slot-list.ts";

const WINDOW = 1;
const PROBATION = 2;
const PROTECTED = 3;

/** Of the entries, in the window. */
const windowShare = 0.01;
/** Of the main part's entries, in the protected segment. */
const protectedShare = 0.8;

/**
 * W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on Storage 13(4), 2017, section 4): a small LRU window,
 * whose outgoing entry is admitted to the main part only if it was used more often, by a frequency sketch, than the entry that would leave there. The main part
 * is a segmented LRU. The window is 1 % and does not adapt. Shares are of the number of entries; without a bound on that, of the number there are now.
 */
export function createTinyLfu(capacity: number): Policy {
  return new TinyLfu(capacity);
}

class TinyLfu implements Policy {
  readonly #capacity: number;
  readonly #links = new Links();
  readonly #window = new SlotList(this.#links);
  readonly #probation = new SlotList(this.#links);
  readonly #protected = new SlotList(this.#links);
  #segment = new Uint8Array(0);
  #hash = new Uint32Array(0);
  #sketch: FrequencySketch;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#sketch = new FrequencySketch(this.#bounded ? capacity : 1024);
  }

  grow(slots: number): void {
    this.#links.grow(slots);
    this.#segment = grown(this.#segment, slots);
    this.#hash = grown(this.#hash, slots);
    if (!this.#bounded && slots > 1024) this.#sketch = new FrequencySketch(slots);
  }

  insert(slot: number, key: unknown): void {
    const hash = hashKey(key);
    this.#hash[slot] = hash;
    this.#sketch.add(hash);
    this.#put(slot, WINDOW, this.#window);
    const most = this.#windowTarget();
    while (this.#window.size > most) this.#leaveWindow();
  }

  access(slot: number): void {
    this.#sketch.add(this.#hash[slot] as number);
    const segment = this.#segment[slot];
    if (segment === WINDOW) this.#window.moveToHead(slot);
    else if (segment === PROTECTED) this.#protected.moveToHead(slot);
    else this.#promote(slot);
  }

  evict(): number {
    const slot = this.#choose();
    this.remove(slot);
    return slot;
  }

  remove(slot: number): void {
    const segment = this.#segment[slot];
    (segment === WINDOW ? this.#window : segment === PROBATION ? this.#probation : this.#protected).remove(slot);
  }

  clear(): void {
    this.#window.clear();
    this.#probation.clear();
    this.#protected.clear();
  }

  /** The newcomer will need a place in the window: if that is full, its oldest competes with the main part's next victim. */
  #choose(): number {
    const victim = this.#probation.size > 0 ? this.#probation.tail : this.#protected.tail;
    if (this.#window.size < this.#windowTarget() && victim !== none) return victim;
    const candidate = this.#window.tail;
    if (victim === none) return candidate;
    if (candidate === none) return victim;
    const admitted =
      this.#sketch.estimate(this.#hash[candidate] as number) > this.#sketch.estimate(this.#hash[victim] as number);
    if (!admitted) return candidate;
    this.#leaveWindow();
    return victim;
  }

  #leaveWindow(): void {
    const slot = this.#window.tail;
    this.#window.remove(slot);
    this.#put(slot, PROBATION, this.#probation);
  }

  /** A second use moves an entry up; what has to make room for it goes back down. */
  #promote(slot: number): void {
    this.#probation.remove(slot);
    this.#put(slot, PROTECTED, this.#protected);
    const main = this.#entries() - this.#windowTarget();
    if (this.#protected.size <= Math.floor(main * protectedShare)) return;
    const demoted = this.#protected.tail;
    this.#protected.remove(demoted);
    this.#put(demoted, PROBATION, this.#probation);
  }

  #put(slot: number, segment: number, list: SlotList): void {
    this.#segment[slot] = segment;
    list.pushHead(slot);
  }

  #windowTarget(): number {
    return Math.max(1, Math.floor(this.#entries() * windowShare));
  }

  #entries(): number {
    return this.#bounded ? this.#capacity : this.#window.size + this.#probation.size + this.#protected.size;
  }

  get #bounded(): boolean {
    return this.#capacity !== Number.POSITIVE_INFINITY;
  }
}
