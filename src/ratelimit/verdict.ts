import diagnostics from "node:diagnostics_channel";
import { RateLimitedError } from "../core/index.ts";

/** What a limiter says to a take. */
export interface Verdict {
  /** Whether the cost was taken; for a cost of 0, whether one unit could be. */
  readonly allowed: boolean;
  /** The most that can be had at once: `burst` for a token bucket, else `limit`. */
  readonly limit: number;
  /** Whole units that could be taken now, after this take. */
  readonly remaining: number;
  /** Milliseconds until everything is available again if nothing is taken meanwhile. */
  readonly resetAfterMs: number;
  /** Milliseconds before which the same take cannot succeed; `undefined` if it was allowed. */
  readonly retryAfterMs: number | undefined;
  /** `true` where the engine could not be asked, and `onUnavailable` spoke instead. */
  readonly unavailable?: true;
}

export interface TakeOptions {
  /** Units to take: a whole number up to what the limit has at once; 0 asks without taking. Default 1. */
  readonly cost?: number;
}

const refusedChannel = diagnostics.channel("ashlar:ratelimit:refused");

/** Announces a refusal to those who listen. */
export function announceRefusal(limiter: string, key: string, cost: number, verdict: Verdict): void {
  if (refusedChannel.hasSubscribers)
    refusedChannel.publish({ limiter, key, cost, retryAfterMs: verdict.retryAfterMs, remaining: verdict.remaining });
}

/** The error for a verdict that refuses. `details` holds the verdict's fields, the limiter's name and the key. */
export function rateLimitedError(limiter: string, key: string, verdict: Verdict): RateLimitedError {
  const wait = verdict.retryAfterMs === undefined ? "later" : `in ${Math.ceil(verdict.retryAfterMs)} ms`;
  return new RateLimitedError(`the rate limit "${limiter}" is used up for this key; come back ${wait}`, {
    details: { limiter, key, ...verdict },
  });
}
