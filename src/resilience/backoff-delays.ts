import { fullJitter, type Runtime } from "../core/index.ts";

/**
 * How chance spreads the delays. `full`: uniform from 0 to the exponential bound. `equal`: half of the bound, and uniform up to all of it. `decorrelated`: uniform from the
 * base to three times the delay before. `none`: the bound itself. M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export type Jitter = "full" | "equal" | "decorrelated" | "none";

export const jitters: readonly Jitter[] = ["full", "equal", "decorrelated", "none"];

export interface Backoff {
  readonly jitter: Jitter;
  /** Milliseconds. */
  readonly base: number;
  readonly cap: number;
}

/**
 * The delay before a retry.
 * @param retries made before: 0 at first
 * @param before the last delay; 0 at first
 */
export function backoffDelay(
  runtime: Pick<Runtime, "random">,
  { jitter, base, cap }: Backoff,
  retries: number,
  before: number,
): number {
  const bound = Math.min(cap, base * 2 ** retries);
  switch (jitter) {
    case "full":
      return fullJitter(runtime, retries, { base, cap });
    case "equal":
      return bound / 2 + (runtime.random.next() * bound) / 2;
    case "decorrelated":
      return Math.min(cap, base + runtime.random.next() * (Math.max(base, before) * 3 - base));
    case "none":
      return bound;
  }
}
