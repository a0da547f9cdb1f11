/** Counts of recent calls. */
export interface CallWindow {
  record(now: number, failed: boolean, slow: boolean): void;
  /** Forgets what is too old; the counts are right afterwards. */
  advance(now: number): void;
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
  clear(): void;
}

/** The last `size` calls. */
export class CountWindow implements CallWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  /** A ring: bit 0 says failed, bit 1 slow. */
  readonly #outcomes: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.#outcomes = new Uint8Array(size);
  }

  record(_now: number, failed: boolean, slow: boolean): void {
    const outcomes = this.#outcomes;
    if (this.calls === outcomes.length) {
      const oldest = outcomes[this.#at] as number;
      this.failures -= oldest & 1;
      this.slow -= oldest >> 1;
    } else this.calls++;
    outcomes[this.#at] = (failed ? 1 : 0) | (slow ? 2 : 0);
    if (failed) this.failures++;
    if (slow) this.slow++;
    this.#at = this.#at + 1 === outcomes.length ? 0 : this.#at + 1;
  }

  advance(): void {}

  clear(): void {
    this.calls = 0;
    this.failures = 0;
    this.slow = 0;
    this.#at = 0;
  }
}

const buckets = 10;

/** The calls of the last `ms`, in ten buckets: what is forgotten is between nine and ten tenths of that old. */
export class TimeWindow implements CallWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  readonly #bucketMs: number;
  /** Rings, by bucket: calls, failures, slow calls. */
  readonly #calls = new Float64Array(buckets);
  readonly #failures = new Float64Array(buckets);
  readonly #slow = new Float64Array(buckets);
  #at = 0;
  /** When the current bucket ends. */
  #endsAt = Number.NEGATIVE_INFINITY;

  constructor(ms: number) {
    this.#bucketMs = ms / buckets;
  }

  record(now: number, failed: boolean, slow: boolean): void {
    if (now >= this.#endsAt) this.advance(now);
    const at = this.#at;
    this.calls++;
    (this.#calls[at] as number)++;
    if (failed) {
      this.failures++;
      (this.#failures[at] as number)++;
    }
    if (slow) {
      this.slow++;
      (this.#slow[at] as number)++;
    }
  }

  advance(now: number): void {
    if (now < this.#endsAt) return;
    if (now >= this.#endsAt + this.#bucketMs * (buckets - 1)) {
      this.clear();
      this.#endsAt = now + this.#bucketMs;
      return;
    }
    for (; now >= this.#endsAt; this.#endsAt += this.#bucketMs) {
      const at = (this.#at + 1) % buckets;
      this.calls -= this.#calls[at] as number;
      this.failures -= this.#failures[at] as number;
      this.slow -= this.#slow[at] as number;
      this.#calls[at] = 0;
      this.#failures[at] = 0;
      this.#slow[at] = 0;
      this.#at = at;
    }
  }

  clear(): void {
    this.calls = 0;
    this.failures = 0;
    this.slow = 0;
    this.#calls.fill(0);
    this.#failures.fill(0);
    this.#slow.fill(0);
  }
}
