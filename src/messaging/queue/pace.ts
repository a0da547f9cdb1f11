/** Jobs are taken ahead as far as they begin within so many milliseconds. */
const aheadMs = 50;

/** How fast handlers are: slow ones are not worth to have jobs taken ahead, which others could begin. */
export class Pace {
  readonly #concurrency: number;
  readonly #most: number;
  /** Mean time of a handler, milliseconds; `undefined`: not known yet. */
  #mean: number | undefined;

  constructor(concurrency: number, most: number) {
    this.#concurrency = concurrency;
    this.#most = most;
  }

  /** Jobs that it is worth to have beyond those that run. */
  get ahead(): number {
    if (this.#mean === undefined) return 0;
    return Math.min(this.#most, Math.floor((this.#concurrency * aheadMs) / Math.max(this.#mean, 0.01)));
  }

  took(ms: number): void {
    this.#mean = this.#mean === undefined ? ms : this.#mean * 0.95 + ms * 0.05;
  }
}
