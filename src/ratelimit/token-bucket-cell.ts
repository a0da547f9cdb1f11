import type { Policy } from "./policy.ts";
import type { Verdict } from "./verdict.ts";

/** Sums of fractions may miss a whole number by this much. */
const rounding = 1e-9;

/**
 * The generic cell rate algorithm in its form as a continuous-state leaky bucket (ITU-T I.371, annex A), which is equal to virtual scheduling
 * and keeps its precision however long the process lives.
 */
export class TokenBucketCell {
  readonly #policy: Policy;
  /** Units taken and not yet refilled, as of `#at`. Above the capacity after a penalty. */
  #used = 0;
  #at = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  take(now: number, cost: number): Verdict {
    const { capacity, limit, perMs } = this.#policy;
    const used = Math.max(0, this.#used - ((now - this.#at) * limit) / perMs);
    const next = used + cost;
    if (next > capacity + rounding || cost === 0) return this.#say(used, cost === 0 ? 1 : cost, cost === 0);
    this.#used = next;
    this.#at = now;
    return {
      allowed: true,
      limit: capacity,
      remaining: Math.floor(capacity - next + rounding),
      resetAfterMs: (next * perMs) / limit,
      retryAfterMs: undefined,
    };
  }

  peek(now: number, cost: number): Verdict {
    return this.#say(this.#now(now), Math.max(1, cost), true);
  }

  force(now: number, cost: number): void {
    this.#used = this.#now(now) + cost;
    this.#at = now;
  }

  refund(now: number, cost: number): void {
    this.#used = Math.max(0, this.#now(now) - cost);
    this.#at = now;
  }

  idleAt(): number {
    return this.#at + (this.#used * this.#policy.perMs) / this.#policy.limit;
  }

  copy(): TokenBucketCell {
    const copy = new TokenBucketCell(this.#policy);
    copy.#used = this.#used;
    copy.#at = this.#at;
    return copy;
  }

  #now(now: number): number {
    return Math.max(0, this.#used - ((now - this.#at) * this.#policy.limit) / this.#policy.perMs);
  }

  /** The verdict on a take that is not made. */
  #say(used: number, cost: number, mayPass: boolean): Verdict {
    const { capacity, limit, perMs } = this.#policy;
    const lacking = used + cost - capacity;
    const allowed = mayPass && lacking <= rounding;
    return {
      allowed,
      limit: capacity,
      remaining: Math.max(0, Math.floor(capacity - used + rounding)),
      resetAfterMs: (used * perMs) / limit,
      retryAfterMs: allowed ? undefined : (lacking * perMs) / limit,
    };
  }
}
