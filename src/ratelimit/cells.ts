import { LogCell } from "./log-cell.ts";
import type { Policy } from "./policy.ts";
import { TokenBucketCell } from "./token-bucket-cell.ts";
import type { Verdict } from "./verdict.ts";
import { WindowCell } from "./window-cell.ts";

/** What one process remembers of one key: an algorithm's state. Times are milliseconds of a clock that never goes back. */
export interface Cell {
  /** Takes the cost if it is there. */
  take(now: number, cost: number): Verdict;
  /** What `take` would say, without taking. For a cost of 0: whether one unit could be taken. */
  peek(now: number, cost: number): Verdict;
  /** Takes the cost whether or not it is there. */
  force(now: number, cost: number): void;
  /** Undoes a take as far as it still counts. */
  refund(now: number, cost: number): void;
  /** From when on the cell says the same as a new one, if nothing is taken. */
  idleAt(): number;
  copy(): Cell;
}

export function createCell(policy: Policy): Cell {
  switch (policy.algorithm) {
    case "token-bucket":
      return new TokenBucketCell(policy);
    case "fixed-window":
    case "sliding-window":
      return new WindowCell(policy);
    case "sliding-log":
      return new LogCell(policy);
  }
}
