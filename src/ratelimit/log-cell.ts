import type { Policy } from "./policy.ts";
import { append, giveBack, prune, type TakeLog, totalOf, waitFor } from "./take-log.ts";
import type { Verdict } from "./verdict.ts";

/** Sliding log: the time of each take within the last `per`. */
export class LogCell {
  readonly #policy: Policy;
  #log: TakeLog = [];

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  take(now: number, cost: number): Verdict {
    const verdict = this.peek(now, cost);
    if (!verdict.allowed || cost === 0) return verdict;
    this.force(now, cost);
    return this.#say(now, undefined);
  }

  peek(now: number, cost: number): Verdict {
    const { perMs, limit } = this.#policy;
    this.#log = prune(this.#log, now, perMs);
    const wait = waitFor(this.#log, now, perMs, Math.max(1, cost), limit);
    return this.#say(now, wait === 0 ? undefined : wait);
  }

  force(now: number, cost: number): void {
    this.#log = append(prune(this.#log, now, this.#policy.perMs), now, cost, this.#policy.limit);
  }

  refund(_now: number, cost: number): void {
    this.#log = giveBack(this.#log, cost);
  }

  idleAt(): number {
    return (this.#log.at(-2) ?? Number.NEGATIVE_INFINITY) + this.#policy.perMs;
  }

  copy(): LogCell {
    const copy = new LogCell(this.#policy);
    copy.#log = this.#log;
    return copy;
  }

  #say(now: number, retryAfterMs: number | undefined): Verdict {
    return {
      allowed: retryAfterMs === undefined,
      limit: this.#policy.capacity,
      remaining: Math.max(0, this.#policy.limit - totalOf(this.#log)),
      resetAfterMs: Math.max(0, this.idleAt() - now),
      retryAfterMs,
    };
  }
}
