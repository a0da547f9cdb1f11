import { type Duration, OverloadedError, RateLimitedError, refuseUnknown, toMilliseconds } from "../core/index.ts";
import { type Policy, type RateOptions, toPolicy, wholeNumber } from "./policy.ts";

/** Bounds of whoever waits for a turn. */
export interface WaitOptions {
  /** Takes that may wait at once, of one key. Default 1,000. */
  readonly maxQueue?: number;
  /** A take that would have to wait longer is refused at once. Default "30s". */
  readonly maxWait?: Duration;
}

export interface WaitBounds {
  readonly maxQueue: number;
  readonly maxWaitMs: number;
}

/** A day: sums of the engine's clock and a queue stay safe integers of microseconds. */
const longestWaitMs = 24 * 3600 * 1000;

/** @throws InvalidArgumentError */
export function toWaitBounds(options: WaitOptions): WaitBounds {
  const { maxQueue = 1_000 } = options;
  wholeNumber("options.maxQueue", maxQueue, 0, 10_000_000);
  return { maxQueue, maxWaitMs: toMilliseconds(options.maxWait ?? "30s", "options.maxWait", { max: longestWaitMs }) };
}

/** The rate of a leaky bucket. @throws InvalidArgumentError */
export function toEvenRate(options: RateOptions & WaitOptions, more: readonly string[] = []): Policy {
  refuseUnknown(options, ["limit", "per", "maxQueue", "maxWait", ...more]);
  return toPolicy({ limit: options.limit, per: options.per }, []);
}

/** The refusal of a wait that would be too long. */
export function tooLong(name: string, key: string, waitMs: number, maxWaitMs: number): RateLimitedError {
  const retryAfterMs = Math.max(0, waitMs - maxWaitMs);
  return new RateLimitedError(
    `"${name}": the turn of this key would come in ${Math.ceil(waitMs)} ms, and ${maxWaitMs} ms is the longest wait`,
    { details: { limiter: name, key, waitMs, maxWaitMs, retryAfterMs } },
  );
}

/** The refusal of a queue that is full. */
export function queueFull(name: string, key: string, maxQueue: number): OverloadedError {
  return new OverloadedError(`"${name}": ${maxQueue} takes of this key wait already, the most allowed`, {
    details: { limiter: name, key, maxQueue },
  });
}
