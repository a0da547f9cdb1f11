import {
  type Closer,
  createCloser,
  type Duration,
  invalidArgument,
  type Key,
  raceAbort,
  refuseUnknown,
  throwIfAborted,
  toMilliseconds,
} from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import { type Algorithm, takeTogether } from "./demand.ts";
import { EngineClock } from "./engine-clock.ts";
import { Leases } from "./leases.ts";
import { longestMs, type Policy, type RateOptions, toCost, toKey, toPolicy, wholeNumber } from "./policy.ts";
import { Refusals } from "./refusals.ts";
import { SlidingLog } from "./sliding-log.ts";
import { TokenBucket } from "./token-bucket.ts";
import { type OnUnavailable, toOnUnavailable, withoutEngine } from "./unavailable.ts";
import { announceRefusal, rateLimitedError, type TakeOptions, type Verdict } from "./verdict.ts";
import { Windows } from "./windows.ts";

/*
 * Keys of a limiter, below the engine's namespace; times are microseconds of the engine's clock, and every entry has a life that ends soon after it stops to matter.
 *
 * | key | value | algorithm |
 * |---|---|---|
 * | ["ratelimit", name, "bucket", key] | when the bucket is full again | token bucket |
 * | ["ratelimit", name, "window", key, n] | units taken in window n, counted from the epoch | fixed and sliding window |
 * | ["ratelimit", name, "since", key] | a time that has come for sure, or until when the key is blocked | fixed and sliding window |
 * | ["ratelimit", name, "seen", key] | the time of the last take | fixed and sliding window |
 * | ["ratelimit", name, "log", key] | { log: [time, cost, …], blockedUntil } | sliding log |
 * | ["ratelimit", name, "turn", key] | when the queue is empty | leaky bucket |
 */

export interface RateLimiterOptions extends RateOptions {
  /**
   * `exact` (default): each take is one commit. `leased`: processes take chunks of a token bucket and spend them locally; never over the limit, but what lies
   * idle in a process is refused elsewhere.
   */
  readonly mode?: "exact" | "leased";
  readonly lease?: LeaseOptions;
  /** What to say when the engine cannot be asked. Default "throw". */
  readonly onUnavailable?: OnUnavailable;
  /**
   * How long at most a refusal is repeated without asking the engine, as long as nothing can have freed up. A reset or a refund by another process is seen that
   * much later. 0: always ask. Default "1s".
   */
  readonly rememberRefusals?: Duration;
}

export interface LeaseOptions {
  /** How long a chunk may be spent. The bucket is shallower by what it gains in this time. Default: a tenth of the time to fill it, "1s" at most. */
  readonly life?: Duration;
  /** Units of one chunk at most. Chunks start at 1, double under demand and shrink without. Default: an eighth of the bucket. */
  readonly maxChunk?: number;
  /** Keys with chunks at most; further ones are counted exactly. Default 10,000. */
  readonly maxKeys?: number;
}

export interface ClusterTakeOptions extends TakeOptions {
  /** Ends the wait for the engine. Units that were asked for may then be taken all the same. */
  readonly signal?: AbortSignal;
}

/** A rate limit that all processes on one engine share. */
export interface RateLimiter extends AsyncDisposable {
  readonly name: string;
  /**
   * Takes the cost if it is there, all or nothing. If the answer of the engine is lost, the units count as taken.
   * @throws InvalidArgumentError a cost that is more than can ever be had at once
   * @throws UnavailableError, OutcomeUnknownError, TimeoutError, OverloadedError the engine did not answer, unless `onUnavailable` says otherwise
   * @throws ConflictError sliding log only: others took from the same key again and again
   * @throws ClosedError
   */
  take(key: string, options?: ClusterTakeOptions): Promise<Verdict>;
  /**
   * Like `take`, but a refusal is an error.
   * @throws RateLimitedError with the verdict's fields in `details`
   */
  takeOrThrow(key: string, options?: ClusterTakeOptions): Promise<Verdict>;
  /** What `take` would say, asked of the engine; nothing is taken. */
  peek(key: string, options?: ClusterTakeOptions): Promise<Verdict>;
  /** Undoes a take that turned out not to be needed, as far as it still counts; never more than was there before. Default cost 1. */
  refund(key: string, options?: ClusterTakeOptions): Promise<void>;
  /** Takes the cost whether or not it is there: for a failed login, an expensive answer. May leave a debt, of a token bucket up to ten times its size. */
  penalty(key: string, options?: ClusterTakeOptions): Promise<void>;
  /** Refuses everything of this key for so long, ten years at most. A block that lasts longer stays. */
  block(key: string, duration: Duration, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Forgets all that is known of the key, blocks included. */
  reset(key: string, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Gives back what leases hold unspent. Afterwards everything fails with `CLOSED`. Harmless when repeated. */
  close(): Promise<void>;
}

/**
 * A rate limit over the engine. All processes must give a name the same options.
 * @param name names the limit in the engine
 * @throws InvalidArgumentError
 */
export function createRateLimiter(engine: Engine, name: string, options: RateLimiterOptions): RateLimiter {
  return new ClusterLimiter(engine, name, options);
}

export class ClusterLimiter implements RateLimiter {
  readonly name: string;
  readonly engine: Engine;
  readonly algorithm: Algorithm;
  readonly policy: Policy;
  readonly onUnavailable: OnUnavailable;
  readonly #refusals: Refusals;
  readonly #leases: Leases | undefined;
  readonly #closer: Closer;

  constructor(engine: Engine, name: string, options: RateLimiterOptions) {
    if (typeof name !== "string" || name === "") throw invalidArgument("name", name, "a string, not empty");
    const policy = toPolicy(options, ["mode", "lease", "onUnavailable", "rememberRefusals"]);
    const { mode = "exact" } = options;
    if (mode !== "exact" && mode !== "leased") throw invalidArgument("options.mode", mode, '"exact" or "leased"');
    if (mode === "exact" && options.lease !== undefined)
      throw invalidArgument("options.lease", options.lease, 'nothing unless mode is "leased"');
    this.name = name;
    this.engine = engine;
    this.onUnavailable = toOnUnavailable(options.onUnavailable);
    const rememberMs = toMilliseconds(options.rememberRefusals ?? "1s", "options.rememberRefusals");
    this.#refusals = new Refusals(engine.runtime.clock, rememberMs);
    const prefix: Key = ["ratelimit", name];
    if (mode === "leased") {
      const bounds = toLeaseBounds(policy, options.lease ?? {});
      const depthUs = policy.capacity * policy.intervalUs - Math.ceil(bounds.lifeMs * 1000);
      this.policy = { ...policy, capacity: Math.floor(depthUs / policy.intervalUs) };
      const bucket = new TokenBucket(engine, prefix, this.policy, depthUs);
      this.algorithm = bucket;
      this.#leases = new Leases(engine, name, this.policy, bucket, bounds);
    } else {
      this.policy = policy;
      this.algorithm = createAlgorithm(engine, prefix, policy);
    }
    this.#closer = createCloser(async () => this.#leases?.close(), `the rate limiter "${name}"`);
  }

  async take(key: string, options: ClusterTakeOptions = {}): Promise<Verdict> {
    const { signal } = options;
    const cost = this.check(key, options);
    if (cost === 0) return this.peek(key, options);
    throwIfAborted(signal);
    try {
      const verdict =
        this.#leases === undefined
          ? await this.#takeExactly(key, cost, signal)
          : await this.#leases.take(key, cost, signal);
      if (!verdict.allowed) announceRefusal(this.name, key, cost, verdict);
      return verdict;
    } catch (error) {
      throwIfAborted(signal);
      const { name: limiter, policy } = this;
      return withoutEngine(this.onUnavailable, error, { limiter, key, cost, policy });
    }
  }

  async takeOrThrow(key: string, options?: ClusterTakeOptions): Promise<Verdict> {
    const verdict = await this.take(key, options);
    if (!verdict.allowed) throw rateLimitedError(this.name, key, verdict);
    return verdict;
  }

  async peek(key: string, options: ClusterTakeOptions = {}): Promise<Verdict> {
    const { signal } = options;
    const cost = this.check(key, options);
    throwIfAborted(signal);
    try {
      const verdict = await raceAbort(this.algorithm.peek(key, Math.max(1, cost), signal), signal);
      const held = this.#leases?.held(key) ?? 0;
      if (held === 0) return verdict;
      const allowed = verdict.allowed || held >= cost;
      return {
        ...verdict,
        allowed,
        remaining: verdict.remaining + held,
        retryAfterMs: allowed ? undefined : verdict.retryAfterMs,
      };
    } catch (error) {
      throwIfAborted(signal);
      const { name: limiter, policy } = this;
      return withoutEngine(this.onUnavailable, error, { limiter, key, cost: 0, policy });
    }
  }

  async refund(key: string, options: ClusterTakeOptions = {}): Promise<void> {
    const cost = this.check(key, options);
    if (cost > 0) await this.#change(key, options.signal, () => this.algorithm.refund(key, cost, options.signal));
  }

  async penalty(key: string, options: ClusterTakeOptions = {}): Promise<void> {
    const cost = this.check(key, options);
    if (cost > 0) await this.#change(key, options.signal, () => this.algorithm.penalty(key, cost, options.signal));
  }

  async block(key: string, duration: Duration, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const durationMs = toMilliseconds(duration, "duration", { max: longestMs });
    this.check(key, {});
    this.#leases?.forget(key);
    await this.#change(key, options.signal, () => this.algorithm.block(key, durationMs, options.signal));
    // A lease that was on its way when the block began.
    this.#leases?.forget(key);
  }

  async reset(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.check(key, {});
    this.#leases?.forget(key);
    await this.#change(key, options.signal, () => this.algorithm.reset(key, options.signal));
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The validated cost. @throws InvalidArgumentError, ClosedError */
  check(key: string, options: TakeOptions): number {
    this.#closer.assertOpen();
    toKey(key);
    return toCost(options.cost, this.policy.capacity);
  }

  /** A refusal that was heard lately and still holds. */
  refusal(key: string, cost: number): Verdict | undefined {
    return this.#refusals.find(key, cost);
  }

  async #takeExactly(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    const known = this.#refusals.find(key, cost);
    if (known !== undefined) return known;
    const sentAt = this.engine.runtime.clock.monotonic();
    const { algorithm } = this;
    const outcome = await takeTogether(this.engine, [{ algorithm, key, cost }], signal);
    if (outcome.allowed) return outcome.verdicts[0] as Verdict;
    this.#refusals.remember(key, cost, outcome.verdict, sentAt);
    return outcome.verdict;
  }

  async #change(key: string, signal: AbortSignal | undefined, change: () => Promise<void>): Promise<void> {
    throwIfAborted(signal);
    try {
      await change();
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    } finally {
      this.#refusals.forget(key);
      this.#leases?.hope(key);
    }
  }
}

function createAlgorithm(engine: Engine, prefix: Key, policy: Policy): Algorithm {
  switch (policy.algorithm) {
    case "token-bucket":
      return new TokenBucket(engine, prefix, policy);
    case "fixed-window":
    case "sliding-window":
      return new Windows(engine, prefix, policy, new EngineClock(engine));
    case "sliding-log":
      return new SlidingLog(engine, prefix, policy, new EngineClock(engine));
  }
}

function toLeaseBounds(policy: Policy, options: LeaseOptions) {
  refuseUnknown(options, ["life", "maxChunk", "maxKeys"], "options.lease");
  if (policy.algorithm !== "token-bucket")
    throw invalidArgument(
      "options.mode",
      "leased",
      `"exact" with "${policy.algorithm}": only a token bucket is leased`,
    );
  const depthMs = (policy.capacity * policy.intervalUs) / 1000;
  const mostMs = depthMs - policy.intervalUs / 1000;
  if (mostMs < 1)
    throw invalidArgument("options.burst", policy.capacity, "at least 2 units and 2 ms of the rate, to be leased");
  const lifeMs = toMilliseconds(options.life ?? Math.min(1_000, depthMs / 10, mostMs), "options.lease.life", {
    min: Math.min(1, depthMs / 10),
    max: mostMs,
  });
  const capacity = Math.floor(depthMs * 1000 - lifeMs * 1000) / policy.intervalUs;
  const most = Math.max(1, Math.floor(capacity));
  const { maxChunk = Math.max(1, Math.floor(capacity / 8)), maxKeys = 10_000 } = options;
  wholeNumber("options.lease.maxChunk", maxChunk, 1, most);
  wholeNumber("options.lease.maxKeys", maxKeys, 1, 10_000_000);
  return { lifeMs, maxChunk, maxKeys };
}
