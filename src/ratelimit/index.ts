/** Rate limits, of one process and of all processes on one engine; shaping; bounds of concurrency. */
export {
  type ClusterTakeOptions,
  createRateLimiter,
  type LeaseOptions,
  type RateLimiter,
  type RateLimiterOptions,
} from "./cluster-limiter.ts";
export {
  type ConcurrencyLimiter,
  createLocalConcurrencyLimiter,
  type LocalConcurrencyLimiterOptions,
  type Slot,
} from "./concurrency.ts";
export { type HeaderOptions, rateLimitHeaders } from "./headers.ts";
export { createLeakyBucket } from "./leaky-bucket.ts";
export {
  createLocalLeakyBucket,
  type LeakyBucket,
  type LeakyBucketOptions,
  type LocalLeakyBucketOptions,
} from "./local-leaky-bucket.ts";
export {
  createLocalRateLimiter,
  type LocalRateLimiter,
  type LocalRateLimiterOptions,
  type LocalTake,
  type LocalTakeAllVerdict,
  takeAllLocal,
} from "./local-limiter.ts";
export type { Algorithm, RateOptions } from "./policy.ts";
export { type Take, type TakeAllVerdict, takeAll } from "./take-all.ts";
export type { OnUnavailable } from "./unavailable.ts";
export type { TakeOptions, Verdict } from "./verdict.ts";
export type { WaitOptions } from "./waiting.ts";
