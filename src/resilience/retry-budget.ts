import { type Runtime, refuseUnknown, systemRuntime } from "../core/index.ts";
import { checkNumber } from "./option-checks.ts";

export interface RetryBudgetOptions {
  /** Retries that each call pays for. More than this part of the load is never added by retries, but for `minPerSecond`. Default 0.2. */
  readonly ratio?: number;
  /** Retries per second that are granted however few calls there are. Default 10. */
  readonly minPerSecond?: number;
  /** Retries that can be saved up; the budget begins full. Default 100. */
  readonly capacity?: number;
  readonly runtime?: Runtime;
}

/**
 * A bound on retries and hedges, shared by the policies that it is given to. In any span of time, retries are at most `capacity + ratio × calls + minPerSecond × seconds`.
 */
export interface RetryBudget {
  /** Pays in for a call. */
  deposit(): void;
  /** Takes one retry out; false if there is none, and then the retry must not be made. */
  withdraw(): boolean;
  /** Retries that could be made now. */
  readonly balance: number;
}

/**
 * A token bucket that keeps retries from multiplying the load on what is failing already. One per dependency, shared by all who call it.
 * After Finagle's `RetryBudget` and gRPC's retry throttling (proposal A6).
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function retryBudget(options: RetryBudgetOptions = {}): RetryBudget {
  refuseUnknown(options, ["ratio", "minPerSecond", "capacity", "runtime"]);
  const { ratio = 0.2, minPerSecond = 10, capacity = 100, runtime = systemRuntime } = options;
  checkNumber("options.ratio", ratio, 0, 1_000);
  checkNumber("options.minPerSecond", minPerSecond, 0, 1e6);
  checkNumber("options.capacity", capacity, 1, 1e6);
  return new TokenBucket(runtime, ratio, minPerSecond, capacity);
}

class TokenBucket implements RetryBudget {
  readonly #runtime: Pick<Runtime, "clock">;
  readonly #ratio: number;
  readonly #perMs: number;
  readonly #capacity: number;
  #tokens: number;
  #filledAt: number;

  constructor(runtime: Pick<Runtime, "clock">, ratio: number, minPerSecond: number, capacity: number) {
    this.#runtime = runtime;
    this.#ratio = ratio;
    this.#perMs = minPerSecond / 1000;
    this.#capacity = capacity;
    this.#tokens = capacity;
    this.#filledAt = runtime.clock.monotonic();
  }

  deposit(): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#ratio);
  }

  withdraw(): boolean {
    if (this.balance < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  get balance(): number {
    const now = this.#runtime.clock.monotonic();
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
    return this.#tokens;
  }
}
