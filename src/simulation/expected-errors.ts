import { isAshlarError } from "../core/index.ts";

/** What a program may meet when the world is bad: an error of the engine or of the network. */
export function isTrouble(error: unknown): boolean {
  if (isAshlarError(error)) return error.code !== "INVALID_ARGUMENT" && error.code !== "SIMULATION_ESCAPE";
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === "string") return /^(E[A-Z]+|UND_ERR_.*|HPE_.*|ABORT_ERR)$/.test(code) && code !== "ERR_ASSERTION";
  return cause !== undefined && isTrouble(cause);
}

/** An error that the scenario's own code made to say that something did not work out, and no mistake of the program. */
export function isUserError(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  if (code === "ERR_ASSERTION" || code === "SIMULATION_ESCAPE" || isAshlarError(error, "INVALID_ARGUMENT"))
    return false;
  return !["TypeError", "ReferenceError", "RangeError", "SyntaxError", "AssertionError"].includes(String(name));
}
