import type { Policy } from "./policy.ts";

/** The state of a key in windows at one instant. All times in one unit. */
export interface WindowState {
  /** Count of the window before. */
  readonly previous: number;
  /** Count of the window that `elapsed` is in. */
  readonly current: number;
  /** Time since the window began: at least 0, less than `length`. */
  readonly elapsed: number;
  readonly length: number;
}

/** The most that the current window's count may be: the limit less what the window before still weighs. */
export function ceilingOf(policy: Policy, { previous, elapsed, length }: Omit<WindowState, "current">): number {
  if (policy.algorithm === "fixed-window") return policy.limit;
  return Math.floor(policy.limit - (previous * (length - elapsed)) / length + 1e-9);
}

/** Whole units that could be taken now. */
export function remainingOf(policy: Policy, state: WindowState): number {
  return Math.max(0, ceilingOf(policy, state) - state.current);
}

/** Time until nothing counts any more. */
export function resetAfter(policy: Policy, { previous, current, elapsed, length }: WindowState): number {
  if (policy.algorithm === "fixed-window") return current === 0 ? 0 : length - elapsed;
  if (current > 0) return 2 * length - elapsed;
  return previous > 0 ? length - elapsed : 0;
}

/** Time before which `cost` cannot be taken; 0 if it can be now. */
export function retryAfter(policy: Policy, state: WindowState, cost: number): number {
  const { previous, current, elapsed, length } = state;
  const { limit } = policy;
  if (current + cost <= ceilingOf(policy, state)) return 0;
  if (policy.algorithm === "fixed-window") {
    return length - elapsed;
  }
  // Within this window: previous * (length - e) / length <= limit - current - cost.
  const room = limit - current - cost;
  if (room >= 0 && previous > 0) return Math.max(0, length - (room * length) / previous - elapsed);
  // In the next one this window's count is the previous one, and nothing else is there.
  return length - elapsed + Math.max(0, length - ((limit - cost) * length) / Math.max(current, 1));
}
