import diagnostics from "node:diagnostics_channel";
import { invalidArgument, isAshlarError } from "../core/index.ts";
import type { LocalRateLimiter } from "./local-limiter.ts";
import type { Policy } from "./policy.ts";
import type { Verdict } from "./verdict.ts";

/**
 * What a take says when the engine does not: `throw` its error (default), `refuse`, `allow`, or ask this limit of the process itself.
 */
export type OnUnavailable = "throw" | "refuse" | "allow" | LocalRateLimiter;

/** Errors that say nothing about the limit: the engine was away, slow, overloaded, or its answer was lost. */
const codes: readonly string[] = ["UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT", "OVERLOADED"];

/** When to ask again, if nobody knows. */
const retryAfterMs = 1_000;

const channel = diagnostics.channel("ashlar:ratelimit:unavailable");

/** @throws InvalidArgumentError */
export function toOnUnavailable(given: OnUnavailable | undefined): OnUnavailable {
  if (given === undefined) return "throw";
  if (given === "throw" || given === "refuse" || given === "allow") return given;
  if (typeof given === "object" && given !== null && typeof given.take === "function") return given;
  throw invalidArgument("options.onUnavailable", given, '"throw", "refuse", "allow" or a local limiter');
}

/** The verdict without the engine. @throws the error itself, where that is the rule, or where it is of another kind */
export function withoutEngine(
  rule: OnUnavailable,
  error: unknown,
  take: { readonly limiter: string; readonly key: string; readonly cost: number; readonly policy: Policy },
): Verdict {
  if (!isAshlarError(error) || !codes.includes(error.code)) throw error;
  const { limiter, key, cost, policy } = take;
  if (channel.hasSubscribers)
    channel.publish({ limiter, key, cost, error, rule: typeof rule === "string" ? rule : "local" });
  if (rule === "throw") throw error;
  const limit = policy.capacity;
  if (rule === "allow")
    return { allowed: true, limit, remaining: 0, resetAfterMs: 0, retryAfterMs: undefined, unavailable: true };
  if (rule === "refuse")
    return { allowed: false, limit, remaining: 0, resetAfterMs: retryAfterMs, retryAfterMs, unavailable: true };
  return { ...rule.take(key, { cost }), unavailable: true };
}
