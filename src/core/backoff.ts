import type { Runtime } from "./runtime.ts";

/**
 * How long to wait before the next attempt, in milliseconds: uniform between 0 and `min(cap, base × 2^attempt)`, where
 * `attempt` is 0 after the first failure. Spreads contenders best of the known schemes ("full jitter": M. Brooker,
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export function fullJitter(
  runtime: Pick<Runtime, "random">,
  attempt: number,
  bounds: { readonly base: number; readonly cap: number },
): number {
  return runtime.random.next() * Math.min(bounds.cap, bounds.base * 2 ** attempt);
}
