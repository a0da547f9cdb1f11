import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../core/index.ts";

/**
 * How takes are counted.
 *
 * * `token-bucket`: `burst` at once, refilled evenly at `limit` per `per` (GCRA, ITU-T I.371).
 * * `fixed-window`: `limit` in each window of `per`, windows aligned to the clock; up to twice that across a boundary.
 * * `sliding-window`: as above, with the previous window's count weighted by how much of it the last `per` still covers. An approximation: what came in a
 *   rush at the end of one window is under-weighted later, so an adversary gets up to just below twice the limit in some windows.
 * * `sliding-log`: never more than `limit` in any window of `per`; remembers each take.
 */
export type Algorithm = "token-bucket" | "fixed-window" | "sliding-window" | "sliding-log";

/** How much of what is allowed. */
export interface RateOptions {
  /** Units of cost that are allowed in each `per`: a whole number, 1 or more. */
  readonly limit: number;
  /** The time for `limit`: at least 1 ms, and at least 1 µs for each unit. */
  readonly per: Duration;
  /** Default "token-bucket". */
  readonly algorithm?: Algorithm;
  /** Token bucket only: how much may be taken at once after a rest, a whole number. Default: `limit`. */
  readonly burst?: number;
}

/** Validated options. */
export interface Policy {
  readonly algorithm: Algorithm;
  readonly limit: number;
  readonly perMs: number;
  /** The most that a single take can cost: `burst` for a token bucket, else `limit`. */
  readonly capacity: number;
  /** Microseconds in which a token bucket gains one unit, whole: rounded up, so that the rate is never above what was asked. */
  readonly intervalUs: number;
}

const algorithms: readonly string[] = ["token-bucket", "fixed-window", "sliding-window", "sliding-log"];
const rateFields = ["limit", "per", "algorithm", "burst"] as const;

/** Ten years: sums of the clock and some buckets' depths stay safe integers of microseconds. */
export const longestMs = 10 * 366 * 24 * 3600 * 1000;
const mostLogged = 5_000;

/**
 * @param more names of options that the caller has besides those of the rate
 * @throws InvalidArgumentError
 */
export function toPolicy(options: RateOptions, more: readonly string[]): Policy {
  refuseUnknown(options, [...rateFields, ...more]);
  const { limit, algorithm = "token-bucket" } = options;
  const perMs = toMilliseconds(options.per, "options.per", { min: 1, max: longestMs });
  wholeNumber("options.limit", limit, 1, 1e9);
  if (!algorithms.includes(algorithm)) throw invalidArgument("options.algorithm", algorithm, algorithms.join(", "));
  const interval = (perMs * 1000) / limit;
  if (interval < 1)
    throw invalidArgument("options.limit", limit, `at most ${Math.floor(perMs * 1000)} per ${perMs} ms: one each µs`);
  if (options.burst !== undefined) {
    if (algorithm !== "token-bucket")
      throw invalidArgument(
        "options.burst",
        options.burst,
        `no burst with "${algorithm}": only a token bucket has one`,
      );
    wholeNumber("options.burst", options.burst, 1, 1e9);
    if ((options.burst * interval) / 1000 > longestMs)
      throw invalidArgument("options.burst", options.burst, "a burst that refills within ten years");
  }
  if (algorithm === "sliding-log" && limit > mostLogged)
    throw invalidArgument(
      "options.limit",
      limit,
      `at most ${mostLogged} with "sliding-log", which remembers each take`,
    );
  return {
    algorithm,
    limit,
    perMs,
    capacity: options.burst ?? limit,
    intervalUs: Math.ceil(interval - 1e-9),
  };
}

/** @throws InvalidArgumentError not a whole number within the bounds */
export function wholeNumber(name: string, given: number, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(given) && given >= min && given <= max) return;
  throw invalidArgument(name, given, `a whole number from ${min} to ${max}`);
}

/**
 * A validated cost. 0 asks without taking.
 * @throws InvalidArgumentError not a whole number of 0 or more, or more than can ever be had at once
 */
export function toCost(cost: number | undefined, capacity: number): number {
  if (cost === undefined) return 1;
  if (Number.isSafeInteger(cost) && cost >= 0 && cost <= capacity) return cost;
  throw invalidArgument(
    "options.cost",
    cost,
    `a whole number from 0 to ${capacity}, which is the most that this limit ever has at once`,
  );
}

/** @throws InvalidArgumentError not a string of at least one character */
export function toKey(key: string): string {
  if (typeof key === "string" && key.length > 0) return key;
  throw invalidArgument("key", key, "a string of at least one character");
}
