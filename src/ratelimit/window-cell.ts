import type { Policy } from "./policy.ts";
import type { Verdict } from "./verdict.ts";
import { remainingOf, resetAfter, retryAfter, type WindowState } from "./window-arithmetic.ts";

/** Fixed window and sliding window counter, windows aligned to the clock. */
export class WindowCell {
  readonly #policy: Policy;
  /** Number of the window that `#current` counts. */
  #window = 0;
  #previous = 0;
  #current = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  take(now: number, cost: number): Verdict {
    this.#turn(now);
    const allowed = cost > 0 && retryAfter(this.#policy, this.#state(now), cost) === 0;
    if (!allowed) return this.peek(now, cost);
    this.#current += cost;
    return this.#say(now, true, undefined);
  }

  peek(now: number, cost: number): Verdict {
    this.#turn(now);
    const wait = retryAfter(this.#policy, this.#state(now), Math.max(1, cost));
    return this.#say(now, wait === 0, wait === 0 ? undefined : wait);
  }

  force(now: number, cost: number): void {
    this.#turn(now);
    this.#current += cost;
  }

  refund(now: number, cost: number): void {
    this.#turn(now);
    this.#current = Math.max(0, this.#current - cost);
  }

  idleAt(): number {
    return (this.#window + (this.#policy.algorithm === "fixed-window" ? 1 : 2)) * this.#policy.perMs;
  }

  copy(): WindowCell {
    const copy = new WindowCell(this.#policy);
    copy.#window = this.#window;
    copy.#previous = this.#previous;
    copy.#current = this.#current;
    return copy;
  }

  #turn(now: number): void {
    const window = Math.floor(now / this.#policy.perMs);
    if (window === this.#window) return;
    this.#previous = window === this.#window + 1 ? this.#current : 0;
    this.#current = 0;
    this.#window = window;
  }

  #state(now: number): WindowState {
    const length = this.#policy.perMs;
    return { previous: this.#previous, current: this.#current, elapsed: now - this.#window * length, length };
  }

  #say(now: number, allowed: boolean, retryAfterMs: number | undefined): Verdict {
    const state = this.#state(now);
    return {
      allowed,
      limit: this.#policy.capacity,
      remaining: remainingOf(this.#policy, state),
      resetAfterMs: resetAfter(this.#policy, state),
      retryAfterMs,
    };
  }
}
