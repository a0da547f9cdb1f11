/**
 * The last intervals between heartbeats, with their mean and deviation.
 *
 * Invariant: `#mean` and `#squares` are those of the intervals kept, but for rounding, which is taken out each time that the window has been filled anew.
 */
export class ArrivalWindow {
  readonly #capacity: number;
  readonly #intervals: number[] = [];
  #oldest = 0;
  #mean = 0;
  /** Sum of the squared distances from the mean. */
  #squares = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#intervals.length;
  }

  get mean(): number {
    return this.#mean;
  }

  /** Of the intervals as a population. */
  get deviation(): number {
    return Math.sqrt(Math.max(0, this.#squares) / Math.max(1, this.size));
  }

  add(interval: number): void {
    if (this.size < this.#capacity) {
      this.#intervals.push(interval);
      const distance = interval - this.#mean;
      this.#mean += distance / this.size;
      this.#squares += distance * (interval - this.#mean);
      return;
    }
    const leaving = this.#intervals[this.#oldest] as number;
    this.#intervals[this.#oldest] = interval;
    this.#oldest = (this.#oldest + 1) % this.#capacity;
    if (this.#oldest === 0) {
      this.#reckonAnew();
      return;
    }
    const before = this.#mean;
    this.#mean += (interval - leaving) / this.size;
    this.#squares += (interval - leaving) * (interval - this.#mean + leaving - before);
  }

  #reckonAnew(): void {
    this.#mean = this.#intervals.reduce((sum, interval) => sum + interval, 0) / this.size;
    this.#squares = this.#intervals.reduce((sum, interval) => sum + (interval - this.#mean) ** 2, 0);
  }
}
