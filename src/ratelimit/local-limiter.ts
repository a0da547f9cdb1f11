import {
  type Duration,
  invalidArgument,
  type RateLimitedError,
  type Runtime,
  systemRuntime,
  toMilliseconds,
} from "../core/index.ts";
import { CellTable } from "./cell-table.ts";
import type { Cell } from "./cells.ts";
import { type Policy, type RateOptions, toCost, toKey, toPolicy, wholeNumber } from "./policy.ts";
import { announceRefusal, rateLimitedError, type TakeOptions, type Verdict } from "./verdict.ts";

export interface LocalRateLimiterOptions extends RateOptions {
  /**
   * Keys remembered at most, about 150 bytes each. Idle keys are forgotten. When so many keys are active, further ones share one allowance: nobody gets more
   * than the limit, and those who share get less. Default 100,000.
   */
  readonly maxKeys?: number;
  /** For errors and diagnostics. Default "local". */
  readonly name?: string;
  /** Clock of the limiter. Default: the system's. */
  readonly runtime?: Pick<Runtime, "clock">;
}

/** A rate limit of this process: synchronous, in memory. */
export interface LocalRateLimiter {
  readonly name: string;
  /** Keys remembered now. */
  readonly size: number;
  /**
   * Takes the cost if it is there, all or nothing.
   * @throws InvalidArgumentError a cost that is more than can ever be had at once
   */
  take(key: string, options?: TakeOptions): Verdict;
  /**
   * Like `take`, but a refusal is an error.
   * @throws RateLimitedError with the verdict's fields in `details`
   */
  takeOrThrow(key: string, options?: TakeOptions): Verdict;
  /** What `take` would say, without taking. */
  peek(key: string, options?: TakeOptions): Verdict;
  /** Undoes a take that turned out not to be needed, as far as it still counts. */
  refund(key: string, cost?: number): void;
  /** Takes the cost whether or not it is there: for a failed login, an expensive answer. May leave a debt. */
  penalty(key: string, cost?: number): void;
  /** Refuses everything of this key for so long. A block that lasts longer stays. */
  block(key: string, duration: Duration): void;
  /** Forgets all that is known of the key, blocks included. */
  reset(key: string): void;
}

/** One of several takes that happen together. */
export interface LocalTake {
  readonly limiter: LocalRateLimiter;
  readonly key: string;
  readonly cost?: number;
}

/** What several limits at once say. */
export interface LocalTakeAllVerdict {
  /** Whether all were taken; otherwise none was. */
  readonly allowed: boolean;
  /** One for each take, in order. */
  readonly verdicts: readonly Verdict[];
  /** Indexes of the takes that refused. */
  readonly refusedBy: readonly number[];
  /** The longest of the refusals' `retryAfterMs`; `undefined` if all were allowed. */
  readonly retryAfterMs: number | undefined;
}

/**
 * A rate limit of one process.
 * @throws InvalidArgumentError
 */
export function createLocalRateLimiter(options: LocalRateLimiterOptions): LocalRateLimiter {
  const policy = toPolicy(options, ["maxKeys", "name", "runtime"]);
  const { maxKeys = 100_000, name = "local", runtime = systemRuntime } = options;
  wholeNumber("options.maxKeys", maxKeys, 1, 10_000_000);
  return new InProcessLimiter(name, policy, maxKeys, runtime.clock);
}

/**
 * Takes from several local limits: from all, or from none if one refuses.
 * @throws InvalidArgumentError a limiter that `createLocalRateLimiter` did not make, or the same limiter and key twice
 */
export function takeAllLocal(takes: readonly LocalTake[]): LocalTakeAllVerdict {
  const seen = new Map<LocalRateLimiter, Set<string>>();
  for (const [i, { limiter, key }] of takes.entries()) {
    if (!(limiter instanceof InProcessLimiter))
      throw invalidArgument(`takes[${i}].limiter`, limiter, "a limiter of createLocalRateLimiter");
    const keys = seen.get(limiter) ?? new Set();
    if (keys.has(key)) throw invalidArgument(`takes[${i}].key`, key, "each key of a limiter once; add the costs up");
    seen.set(limiter, keys.add(key));
  }
  const asked = takes.map(({ limiter, key, cost = 1 }) => limiter.peek(key, { cost }));
  const refusedBy = asked.flatMap((verdict, i) => (verdict.allowed ? [] : [i]));
  if (refusedBy.length > 0) {
    const retryAfterMs = Math.max(...asked.map((verdict) => verdict.retryAfterMs ?? 0));
    return { allowed: false, verdicts: asked, refusedBy, retryAfterMs };
  }
  const verdicts = takes.map(({ limiter, key, cost = 1 }) => limiter.take(key, { cost }));
  // Two keys that share one cell may have been promised the same units; then what was taken goes back.
  const failed = verdicts.flatMap((verdict, i) => (verdict.allowed ? [] : [i]));
  if (failed.length === 0) return { allowed: true, verdicts, refusedBy: [], retryAfterMs: undefined };
  for (const [i, { limiter, key, cost = 1 }] of takes.entries()) if (verdicts[i]?.allowed) limiter.refund(key, cost);
  const retryAfterMs = Math.max(...verdicts.map((verdict) => verdict.retryAfterMs ?? 0));
  return { allowed: false, verdicts, refusedBy: failed, retryAfterMs };
}

class InProcessLimiter implements LocalRateLimiter {
  readonly name: string;
  readonly #policy: Policy;
  readonly #clock: Runtime["clock"];
  readonly #cells: CellTable;
  readonly #maxKeys: number;
  /** Until when a key is blocked. */
  readonly #blocks = new Map<string, number>();

  constructor(name: string, policy: Policy, maxKeys: number, clock: Runtime["clock"]) {
    this.name = name;
    this.#policy = policy;
    this.#clock = clock;
    this.#maxKeys = maxKeys;
    this.#cells = new CellTable(policy, maxKeys, clock.monotonic());
  }

  get size(): number {
    return this.#cells.size + this.#blocks.size;
  }

  take(key: string, options?: TakeOptions): Verdict {
    const cost = options === undefined ? 1 : toCost(options.cost, this.#policy.capacity);
    const now = this.#clock.monotonic();
    const cell = this.#cells.at(toKey(key), now);
    const blocked = this.#blocks.size === 0 ? undefined : this.#blocked(key, cell, now);
    const verdict = blocked ?? cell.take(now, cost);
    if (!verdict.allowed) announceRefusal(this.name, key, cost, verdict);
    return verdict;
  }

  takeOrThrow(key: string, options?: TakeOptions): Verdict {
    const verdict = this.take(key, options);
    if (!verdict.allowed) throw this.#error(key, verdict);
    return verdict;
  }

  peek(key: string, options?: TakeOptions): Verdict {
    const cost = toCost(options?.cost, this.#policy.capacity);
    const now = this.#clock.monotonic();
    const cell = this.#cells.existing(toKey(key)) ?? this.#cells.at(key, now);
    return this.#blocked(key, cell, now) ?? cell.peek(now, cost);
  }

  refund(key: string, cost = 1): void {
    toCost(cost, this.#policy.capacity);
    const cell = this.#cells.existing(toKey(key));
    cell?.refund(this.#clock.monotonic(), cost);
  }

  penalty(key: string, cost = 1): void {
    toCost(cost, this.#policy.capacity);
    const now = this.#clock.monotonic();
    this.#cells.at(toKey(key), now).force(now, cost);
  }

  block(key: string, duration: Duration): void {
    const ms = toMilliseconds(duration, "duration");
    const now = this.#clock.monotonic();
    if (this.#blocks.size >= this.#maxKeys) {
      for (const [blocked, until] of this.#blocks) if (until <= now) this.#blocks.delete(blocked);
      if (this.#blocks.size >= this.#maxKeys && !this.#blocks.has(key))
        throw invalidArgument("key", key, `at most ${this.#maxKeys} keys blocked at once (options.maxKeys)`);
    }
    this.#blocks.set(toKey(key), Math.max(this.#blocks.get(key) ?? 0, now + ms));
  }

  reset(key: string): void {
    this.#cells.delete(toKey(key));
    this.#blocks.delete(key);
  }

  #blocked(key: string, cell: Cell, now: number): Verdict | undefined {
    const until = this.#blocks.get(key);
    if (until === undefined) return undefined;
    if (until <= now) {
      this.#blocks.delete(key);
      return undefined;
    }
    const { resetAfterMs } = cell.peek(now, 1);
    const left = until - now;
    return {
      allowed: false,
      limit: this.#policy.capacity,
      remaining: 0,
      resetAfterMs: Math.max(left, resetAfterMs),
      retryAfterMs: left,
    };
  }

  #error(key: string, verdict: Verdict): RateLimitedError {
    return rateLimitedError(this.name, key, verdict);
  }
}
