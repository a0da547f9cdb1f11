import type { RawCheck, RawCommit, RawMutation, RawOutcome } from "../driver.ts";
import { planBlind } from "./blind.ts";
import type { Statement } from "./connection.ts";
import { planProgram } from "./program.ts";
import type { Statements } from "./statements.ts";
import { planVerification } from "./verification.ts";

/** A flush as one call of one function of the server. */
export interface Plan {
  readonly statement: Statement;
  /** Whether it may write; then its first parameter is the id by which a lost answer is settled. */
  readonly writes: boolean;
  /** The parameters, the id left out. */
  readonly values: unknown[];
  /** The commits' outcomes from what the function returned. */
  decode(returned: readonly (number | undefined)[]): RawOutcome[];
}

/**
 * What to send for these commits: the cheapest of three functions that give the same result as applying them one after another.
 * @param lock hold the commit lock even if nothing is written: for a transaction that will write elsewhere
 */
export function planFlush(commits: readonly RawCommit[], statements: Statements, lock = false): Plan {
  if (!lock && commits.every(({ mutations }) => mutations.length === 0))
    return planVerification(commits, statements.verify);
  if (commits.every(isBlind)) return planBlind(commits, statements.write);
  return planProgram(commits, statements.commit);
}

/** Whether the commit can neither be refused nor depends on what is there. */
function isBlind({
  checks,
  mutations,
}: {
  readonly checks: readonly RawCheck[];
  readonly mutations: readonly RawMutation[];
}): boolean {
  return checks.length === 0 && mutations.length > 0 && mutations.every(({ kind }) => kind !== "add");
}
