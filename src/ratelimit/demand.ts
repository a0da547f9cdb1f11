import { ConflictError, fullJitter, type MaybePromise, sleep } from "../core/index.ts";
import type { Check, Engine, Mutation, Refusal, Sum } from "../engine/index.ts";
import type { Verdict } from "./verdict.ts";

/** A take as one attempt at a commit. */
export interface Attempt {
  readonly checks: readonly Check[];
  readonly mutations: readonly Mutation[];
  /** What to tell after the commit. `sums`: the results of this attempt's adds. */
  granted(sums: readonly Sum[]): Verdict;
  /** What the refusal of one of this attempt's parts means: a verdict, or that what the attempt assumed was wrong. */
  refused(refusal: PartRefusal): Verdict | "again";
}

/** A refusal with its index counted from the attempt's own first check or mutation. */
export type PartRefusal =
  | { readonly reason: "check"; readonly check: number }
  | { readonly reason: "ceiling"; readonly mutation: number; readonly value: number; readonly ceiling: number };

/** How an algorithm does its work over the engine. Costs are validated. */
export interface Algorithm {
  /** Makes an attempt to take the cost, 1 or more; a verdict if a read has shown that it cannot be had. */
  attempt(key: string, cost: number, signal: AbortSignal | undefined): MaybePromise<Attempt | Verdict>;
  /** What a take of the cost, 1 or more, would say. */
  peek(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict>;
  refund(key: string, cost: number, signal: AbortSignal | undefined): Promise<void>;
  penalty(key: string, cost: number, signal: AbortSignal | undefined): Promise<void>;
  block(key: string, durationMs: number, signal: AbortSignal | undefined): Promise<void>;
  reset(key: string, signal: AbortSignal | undefined): Promise<void>;
}

/** A take among others that happen together. */
export interface Part {
  readonly algorithm: Algorithm;
  readonly key: string;
  readonly cost: number;
}

export type Together =
  | { readonly allowed: true; readonly verdicts: readonly Verdict[] }
  /** `index`: the first part that refused. */
  | { readonly allowed: false; readonly index: number; readonly verdict: Verdict };

/** Attempts of one take at most: each but the last was overtaken by somebody else, or relied on a clock that was off. */
const mostAttempts = 64;

/**
 * Takes all parts in one commit, or none of them.
 * @throws ConflictError others kept changing a sliding log in all of 64 attempts
 */
export async function takeTogether(
  engine: Engine,
  parts: readonly Part[],
  signal: AbortSignal | undefined,
): Promise<Together> {
  for (let attempt = 1; attempt <= mostAttempts; attempt++) {
    const outcome = await tryTogether(engine, parts, signal);
    if (outcome !== "again") return outcome;
    // What relied on a wrong clock knows better now; only who keeps losing a race waits.
    if (attempt > 2)
      await sleep(engine.runtime, fullJitter(engine.runtime, attempt - 2, { base: 1, cap: 50 }), { signal });
  }
  throw new ConflictError(`others took from the same key in each of ${mostAttempts} attempts; nothing was taken`);
}

async function tryTogether(
  engine: Engine,
  parts: readonly Part[],
  signal: AbortSignal | undefined,
): Promise<Together | "again"> {
  const attempts: Attempt[] = [];
  for (const [index, { algorithm, key, cost }] of parts.entries()) {
    const made = algorithm.attempt(key, cost, signal);
    const attempt = made instanceof Promise ? await made : made;
    if ("allowed" in attempt) return { allowed: false, index, verdict: attempt };
    attempts.push(attempt);
  }
  return commitTogether(engine, attempts, signal);
}

async function commitTogether(
  engine: Engine,
  attempts: readonly Attempt[],
  signal: AbortSignal | undefined,
): Promise<Together | "again"> {
  const outcome = await engine.kv.tryCommit(
    { checks: attempts.flatMap(({ checks }) => checks), mutations: attempts.flatMap(({ mutations }) => mutations) },
    signal ? { signal } : {},
  );
  if (!outcome.ok) return refusedBy(attempts, outcome.refusal);
  let first = 0;
  const verdicts = attempts.map((attempt) => {
    const count = attempt.mutations.filter((mutation) => "add" in mutation).length;
    const verdict = attempt.granted(outcome.adds.slice(first, first + count));
    first += count;
    return verdict;
  });
  return { allowed: true, verdicts };
}

function refusedBy(attempts: readonly Attempt[], refusal: Refusal): Together | "again" {
  let position = refusal.reason === "check" ? refusal.check : refusal.mutation;
  for (const [index, attempt] of attempts.entries()) {
    const size = refusal.reason === "check" ? attempt.checks.length : attempt.mutations.length;
    if (position >= size) {
      position -= size;
      continue;
    }
    const part: PartRefusal =
      refusal.reason === "check" ? { reason: "check", check: position } : { ...refusal, mutation: position };
    const verdict = attempt.refused(part);
    return verdict === "again" ? "again" : { allowed: false, index, verdict };
  }
  return "again";
}
