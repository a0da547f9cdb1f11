import { isAshlarError } from "../core/index.ts";

const away = new Set(["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN", "OVERLOADED"]);

/** Whether the engine did not answer, or refused for now: as opposed to a mistake in the program, and to an abort by the caller. */
export function isAway(error: unknown): boolean {
  return isAshlarError(error) && away.has(error.code);
}
