import {
  type Duration,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../core/index.ts";
import type { BreakerHints } from "./breaker-hints.ts";
import { checkFunction, checkInteger, checkNumber, checkRatio } from "./option-checks.ts";
import { tellsOfTrouble } from "./transience.ts";

/** `closed`: calls go through. `open`: they are refused. `half-open`: a few go through to find out. `isolated`: refused until somebody closes it by hand. */
export type BreakerState = "closed" | "open" | "half-open" | "isolated";

export interface BreakerTransition {
  readonly name: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
  /** "failures", "slow calls", "hint", "probe failed", "probe lost", "probes succeeded", "time to probe", "by hand". */
  readonly why: string;
}

export interface CircuitBreakerOptions {
  /** Opens when this part of the calls in the window failed; above 0, at most 1. Default 0.5, unless `consecutiveFailures` is given. */
  readonly failureRatio?: number;
  /** The calls that ratios are about: those of the last time (10 ms or more), or the last so many calls. Default "10s". */
  readonly window?: Duration | { readonly calls: number };
  /** Ratios mean nothing with fewer calls in the window. Default 20, or the size of the window if that is less. */
  readonly minimumCalls?: number;
  /** Opens after so many failures without a success between them. Default: does not count them. */
  readonly consecutiveFailures?: number;
  /** A call that takes this long is slow, whatever its outcome. Default: none is. */
  readonly slowCall?: Duration;
  /** Opens when this part of the calls in the window was slow. Needs `slowCall`. Default 1. */
  readonly slowCallRatio?: number;
  /** How long it stays open at first. Default "5s". */
  readonly openFor?: Duration;
  /** Each time that it opens again without having closed, it stays open twice as long, up to this. Default "1m". */
  readonly maxOpenFor?: Duration;
  /** Calls let through at the same time when half-open. Default 1. */
  readonly probes?: number;
  /** Probes that must succeed, one after another or together, for it to close. Default 2. */
  readonly requiredSuccesses?: number;
  /** A probe that has not ended after this long counts as failed. Default "30s". */
  readonly probeTimeout?: Duration;
  /** Which errors count as failures. Default: `tellsOfTrouble`. Aborts from outside never count. */
  readonly tripIf?: (error: unknown) => boolean;
  /** Which results count as failures. Default: none. See `isFailedResponse`. */
  readonly isFailure?: (result: unknown) => boolean;
  /** Called after each change of state; must not throw. */
  readonly onStateChange?: (transition: BreakerTransition) => void;
  /** Shares what it learns with breakers of the same name in other processes. */
  readonly hints?: BreakerHints;
  /** For messages, diagnostics and hints. Default "circuit breaker". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

const names = [
  "failureRatio",
  "window",
  "minimumCalls",
  "consecutiveFailures",
  "slowCall",
  "slowCallRatio",
  "openFor",
  "maxOpenFor",
  "probes",
  "requiredSuccesses",
  "probeTimeout",
  "tripIf",
  "isFailure",
  "onStateChange",
  "hints",
  "name",
  "runtime",
];

export type BreakerSettings = ReturnType<typeof breakerSettings>;

/** The options checked, in milliseconds, with defaults. `Infinity` is a threshold that is never reached. */
export function breakerSettings(options: CircuitBreakerOptions) {
  refuseUnknown(options, names);
  const { consecutiveFailures, slowCall, slowCallRatio, window = "10s", runtime = systemRuntime } = options;
  for (const name of ["tripIf", "isFailure", "onStateChange"] as const) checkFunction(`options.${name}`, options[name]);
  const byCount = typeof window === "object" && window !== null;
  const calls = byCount ? checkInteger("options.window.calls", window.calls, 1) : undefined;
  const windowMs = byCount ? undefined : toMilliseconds(window, "options.window", { min: 10 });
  const minimumCalls = checkInteger(
    "options.minimumCalls",
    options.minimumCalls ?? Math.min(20, calls ?? 20),
    1,
    calls ?? 1_000_000,
  );
  if (slowCallRatio !== undefined && slowCall === undefined)
    throw invalidArgument(
      "options.slowCallRatio",
      slowCallRatio,
      "a ratio together with `slowCall`, which says what is slow",
    );
  const ratio = options.failureRatio ?? (consecutiveFailures === undefined ? 0.5 : undefined);
  const openMs = toMilliseconds(options.openFor ?? "5s", "options.openFor", { min: 1 });
  const probes = checkInteger("options.probes", options.probes ?? 1, 1, 10_000);
  return {
    failureRatio: ratio === undefined ? Number.POSITIVE_INFINITY : checkRatio("options.failureRatio", ratio),
    calls,
    windowMs,
    minimumCalls,
    consecutiveFailures:
      consecutiveFailures === undefined
        ? Number.POSITIVE_INFINITY
        : checkInteger("options.consecutiveFailures", consecutiveFailures, 1),
    slowMs:
      slowCall === undefined ? Number.POSITIVE_INFINITY : toMilliseconds(slowCall, "options.slowCall", { min: 1 }),
    slowCallRatio: checkNumber("options.slowCallRatio", slowCallRatio ?? 1, Number.MIN_VALUE, 1),
    openMs,
    maxOpenMs: toMilliseconds(options.maxOpenFor ?? Math.max(openMs, 60_000), "options.maxOpenFor", { min: openMs }),
    probes,
    requiredSuccesses: checkInteger("options.requiredSuccesses", options.requiredSuccesses ?? 2, 1, 10_000),
    probeTimeoutMs: toMilliseconds(options.probeTimeout ?? "30s", "options.probeTimeout", { min: 1 }),
    tripIf: options.tripIf ?? tellsOfTrouble,
    isFailure: options.isFailure,
    onStateChange: options.onStateChange,
    hints: options.hints,
    name: options.name ?? "circuit breaker",
    runtime,
  };
}
