import { isAshlarError, toMilliseconds } from "../../core/index.ts";
import type { Verdict } from "./contract.ts";

/** Thrown by a handler, it says what is to become of its job. */
class JobVerdict extends Error {
  readonly verdict: "park" | "drop";

  constructor(verdict: "park" | "drop", message: string, cause: unknown) {
    super(message, { cause });
    this.name = verdict === "park" ? "Parked" : "Dropped";
    this.verdict = verdict;
  }
}

/** For a handler to throw: the job is to become a dead letter at once, whatever is left of its retry budget. */
export function park(reason: string, options: { readonly cause?: unknown } = {}): Error {
  return new JobVerdict("park", reason, options.cause);
}

/** For a handler to throw: the job is to be forgotten. What the handler wrote through `tx` is not applied. */
export function drop(reason: string, options: { readonly cause?: unknown } = {}): Error {
  return new JobVerdict("drop", reason, options.cause);
}

/** What a failure means if nobody says otherwise. Errors that know when to come back (`details.retryAfterMs`) are heeded. */
export function defaultVerdict(error: unknown): Verdict {
  if (error instanceof JobVerdict) return error.verdict;
  if (isAshlarError(error)) {
    const wait = error.details["retryAfterMs"];
    if (typeof wait === "number" && wait > 0 && Number.isFinite(wait)) return { retryAfter: wait };
  }
  return "retry";
}

/** Milliseconds; the longest pause is a year. */
export function toPause(given: unknown, name: string): number {
  return toMilliseconds(given as number, name, { max: 366 * 24 * 3600 * 1000 });
}
