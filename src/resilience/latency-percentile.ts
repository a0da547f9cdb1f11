const recentKept = 256;
const refreshedEvery = 16;

/** A percentile of the last 256 durations, brought up to date every 16. */
export class LatencyPercentile {
  readonly #fraction: number;
  readonly #recent = new Float64Array(recentKept);
  #count = 0;
  #value = Number.NaN;

  constructor(fraction: number) {
    this.#fraction = fraction;
  }

  record(ms: number): void {
    this.#recent[this.#count % recentKept] = ms;
    this.#count++;
    if (this.#count % refreshedEvery !== 0) return;
    const sorted = this.#recent.slice(0, Math.min(this.#count, recentKept)).sort();
    this.#value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * this.#fraction))] as number;
  }

  /** NaN before the first 16. */
  get value(): number {
    return this.#value;
  }
}
