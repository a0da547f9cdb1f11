import { type AshlarError, ConflictError, InvalidStateError } from "../core/index.ts";
import type { Refusal } from "./contract.ts";
import type { RawRefused } from "./driver.ts";

/** The refusal as users see it, or `undefined` if it is an error even to `tryCommit`. */
export function toRefusal(refused: RawRefused): Refusal | undefined {
  switch (refused.reason) {
    case "check":
      return { reason: "check", check: refused.index };
    case "ceiling":
      return { reason: "ceiling", mutation: refused.index, value: refused.value, ceiling: refused.ceiling };
    default:
      return undefined;
  }
}

export function refusedError(refused: RawRefused): AshlarError {
  switch (refused.reason) {
    case "check":
      return new ConflictError(
        `check ${refused.index} did not hold: what it names has changed; read it again and retry`,
        { details: { ...toRefusal(refused) } },
      );
    case "ceiling":
      return new ConflictError(`add: the sum ${refused.value} would pass its ceiling ${refused.ceiling}`, {
        details: { ...toRefusal(refused) },
      });
    case "not-integer":
      return new InvalidStateError(
        `mutation ${refused.index}: add met a value that is not an integer; only integers written by set or add can be added to`,
      );
    case "overflow":
      return new InvalidStateError(`mutation ${refused.index}: the sum of add is not a safe integer (±2^53 - 1)`);
  }
}
