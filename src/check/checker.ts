import type { History, Operation } from "./history.ts";

/** `unknown`: not decided within the budget. Never a guess: `violated` has an explanation, `ok` a proof. */
export type Verdict = "ok" | "violated" | "unknown";

/** What a checker found. */
export interface CheckResult {
  /** The checker's name, such as "linearizable key-value". */
  readonly check: string;
  readonly verdict: Verdict;
  /** One sentence: what holds, what is wrong, or why it could not be decided. */
  readonly summary: string;
  /** The story of what is wrong, a line each. Empty if nothing is. */
  readonly explanation: readonly string[];
  /** The operations that it is about, few as possible, in the order of their calls. */
  readonly operations: readonly Operation[];
}

/** Judges a history. */
export interface Checker {
  readonly name: string;
  check(history: History): CheckResult;
}
