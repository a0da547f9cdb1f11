const rows = 4;
const highest = 15;
/** Additions, as a multiple of the capacity, after which all counts are halved. */
const sampleFactor = 10;
const multipliers = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f];

/**
 * How often a hash was seen of late, approximately and never too low: a count-min sketch with counts up to 15, halved when as many additions as ten times the
 * capacity were made (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on Storage 13(4), 2017).
 */
export class FrequencySketch {
  /** Two counts a byte would save little: the sketch is small beside the entries. */
  readonly #counts: Uint8Array;
  readonly #shift: number;
  readonly #sample: number;
  #additions = 0;

  /** @param capacity how many hashes are to be told apart */
  constructor(capacity: number) {
    // Two counters a row for each entry keep collisions rare.
    const bits = Math.max(4, Math.ceil(Math.log2(Math.max(1, capacity))) + 1);
    this.#counts = new Uint8Array(rows << bits);
    this.#shift = 32 - bits;
    this.#sample = Math.max(rows, capacity * sampleFactor);
  }

  add(hash: number): void {
    // Conservative update: only the smallest counts rise, which keeps the others nearer to the truth.
    const least = this.estimate(hash);
    if (least === highest) return;
    for (let row = 0; row < rows; row++) {
      const at = this.#indexOf(hash, row);
      if (this.#counts[at] === least) this.#counts[at] = least + 1;
    }
    if (++this.#additions >= this.#sample) this.#halve();
  }

  estimate(hash: number): number {
    let least = highest;
    for (let row = 0; row < rows; row++) {
      const count = this.#counts[this.#indexOf(hash, row)] as number;
      if (count < least) least = count;
    }
    return least;
  }

  #indexOf(hash: number, row: number): number {
    const mixed = Math.imul(hash ^ (hash >>> 15), multipliers[row] as number);
    return (row << (32 - this.#shift)) + (mixed >>> this.#shift);
  }

  #halve(): void {
    const counts = this.#counts;
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] as number) >>> 1;
    this.#additions = Math.floor(this.#additions / 2);
  }
}
