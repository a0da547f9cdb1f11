import { toBinaryString } from "../../core/index.ts";
import type { RawCommit, RawMutation, RawOutcome } from "../driver.ts";
import type { Statement } from "./connection.ts";
import { planProgram } from "./program.ts";
import type { Statements } from "./statements.ts";
import { planVerification } from "./verification.ts";
import { byteaArray, float8Array } from "./wire.ts";
import { planWrites } from "./writes.ts";

/** A flush as one call of one function of the server. */
export interface Plan {
  readonly statement: Statement;
  /** Whether it may write; then its first parameter is the id by which a lost answer is settled. */
  readonly writes: boolean;
  /** The parameters, the id left out. */
  readonly values: unknown[];
  /** What to send instead if the function returned nothing, and so did nothing. */
  readonly otherwise?: () => Plan;
  /** The commits' outcomes from what the function returned. */
  decode(returned: readonly (number | undefined)[]): RawOutcome[];
}

export interface PlanOptions {
  /** Hold the commit lock even if nothing is written: for a transaction that will write elsewhere. Default false. */
  readonly lock?: boolean;
  /** Expect that checks hold, at the price of a second call if one does not. Default false. */
  readonly hopeful?: boolean;
}

/** What to send for these commits: the cheapest of the functions that give the same result as applying them one after another. */
export function planFlush(commits: readonly RawCommit[], statements: Statements, options: PlanOptions = {}): Plan {
  if (!options.lock && commits.every(({ mutations }) => mutations.length === 0))
    return planVerification(commits, statements.verify);
  if (commits.every(isBlind)) return planWrites(commits, statements.write);
  if (options.hopeful && areIndependent(commits))
    return {
      ...planWrites(commits, statements.checkedWrite, checksOf(commits)),
      otherwise: () => planProgram(commits, statements.commit),
    };
  return planProgram(commits, statements.commit);
}

/** Whether the commit can neither be refused nor depends on what is there. */
function isBlind({ checks, mutations }: RawCommit): boolean {
  return checks.length === 0 && isWrite(mutations);
}

function isWrite(mutations: readonly RawMutation[]): boolean {
  return mutations.length > 0 && mutations.every(({ kind }) => kind !== "add");
}

/** Whether no commit checks what one before it writes, and nothing else is checked than keys. */
function areIndependent(commits: readonly RawCommit[]): boolean {
  const written = new Set<string>();
  for (const { checks, mutations } of commits) {
    if (!isWrite(mutations)) return false;
    for (const check of checks) if (check.kind !== "key" || written.has(toBinaryString(check.key))) return false;
    for (const mutation of mutations) if (mutation.kind !== "append") written.add(toBinaryString(mutation.key));
  }
  return true;
}

/** The checks of keys, as two more parameters. */
function checksOf(commits: readonly RawCommit[]): unknown[] {
  const keys: Uint8Array[] = [];
  const revisions: number[] = [];
  for (const { checks } of commits)
    for (const check of checks) {
      if (check.kind !== "key") continue;
      keys.push(check.key);
      revisions.push(check.revision);
    }
  return [byteaArray(keys), float8Array(revisions)];
}
