/**
 * A set of the configurations that a search has been in: where its front was, the state, and which of the pending operations had
 * taken effect. Exact, not a filter: a collision must not cut off a part of the search. One flat table with open addressing.
 */
export class Configurations {
  readonly #words: number;
  readonly #width: number;
  #table: Int32Array;
  #capacity = 32;
  #size = 0;

  /** @param words the length of the bit sets */
  constructor(words: number) {
    this.#words = words;
    this.#width = words + 2;
    this.#table = new Int32Array(this.#capacity * this.#width);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds it; `false` if it was there. */
  add(front: number, state: number, bits: Int32Array): boolean {
    if (this.#size * 3 >= this.#capacity * 2) this.#grow();
    const table = this.#table;
    // A front is stored as one more, so that 0 means an empty place.
    for (let place = this.#hash(front + 1, state, bits, 0); ; place = (place + 1) & (this.#capacity - 1)) {
      const at = place * this.#width;
      if (table[at] === 0) {
        table[at] = front + 1;
        table[at + 1] = state;
        table.set(bits, at + 2);
        this.#size++;
        return true;
      }
      if (table[at] === front + 1 && table[at + 1] === state && this.#sameBits(at + 2, bits)) return false;
    }
  }

  #sameBits(at: number, bits: Int32Array): boolean {
    for (let i = 0; i < this.#words; i++) if (this.#table[at + i] !== bits[i]) return false;
    return true;
  }

  #hash(first: number, second: number, bits: Int32Array, offset: number): number {
    let hash = mix(mix(0x9e3779b9, first), second);
    for (let i = 0; i < this.#words; i++) hash = mix(hash, bits[offset + i] as number);
    return (hash ^ (hash >>> 15)) & (this.#capacity - 1);
  }

  #grow(): void {
    const old = this.#table;
    const width = this.#width;
    this.#capacity *= 2;
    this.#table = new Int32Array(this.#capacity * width);
    for (let from = 0; from < old.length; from += width) {
      if (old[from] === 0) continue;
      let place = this.#hash(old[from] as number, old[from + 1] as number, old, from + 2);
      while (this.#table[place * width] !== 0) place = (place + 1) & (this.#capacity - 1);
      this.#table.set(old.subarray(from, from + width), place * width);
    }
  }
}

/** One round of MurmurHash3 (Appleby). */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}
