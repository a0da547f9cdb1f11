import { isAshlarError } from "../../core/index.ts";
import type { Slot } from "./claim.ts";
import type { Failure, Job } from "./contract.ts";
import type { StoredJob } from "./layout.ts";
import type { Settings } from "./options.ts";
import type { Outcome } from "./outcome.ts";
import { defaultVerdict, toPause } from "./verdicts.ts";

/** Characters; ten failures and the headers fit into what a job has beside its data. */
const maxMessage = 500;

/** An error as it is kept with a job. */
export function toFailure(error: unknown, attempt: number, at: number): Failure {
  const isError = error instanceof Error;
  const name = isError ? error.name : "Error";
  const message = (isError ? error.message : String(error)).slice(0, maxMessage);
  return { attempt, at, name, message, ...(isAshlarError(error) && { code: error.code }) };
}

/** Attempts that a job has used up. */
export function spent(job: StoredJob): number {
  return job.failures + Math.max(0, (job.deaths ?? 0) - 1);
}

/** What becomes of a job whose attempt failed. */
export function judge(slot: Slot, job: Job<unknown>, error: unknown, settings: Settings, now: number): Outcome {
  const attempt = spent(slot.job) + 1;
  let failure = toFailure(error, attempt, now);
  let verdict = defaultVerdict(error);
  let backoff = 0;
  try {
    // What the handler says itself goes before any rule.
    if (verdict !== "park" && verdict !== "drop") verdict = settings.classify(error, job);
    if (typeof verdict === "object") backoff = toPause(verdict.retryAfter, "classify(…).retryAfter");
    else if (verdict === "retry") backoff = settings.backoff(attempt, error);
  } catch (mistake) {
    // A rule that fails must not lose the job, nor hide why it failed.
    failure = {
      ...failure,
      message: `${failure.message} (and the rule for it failed: ${String(mistake)})`.slice(0, maxMessage),
    };
    verdict = "retry";
    backoff = 1000;
  }
  if (verdict === "drop") return { kind: "end", state: "dropped", failure };
  if (verdict === "park") return { kind: "dead", reason: "parked", failure };
  if (attempt >= settings.attempts) return { kind: "dead", reason: "attempts", failure };
  return { kind: "again", due: now + Math.ceil(backoff), failure };
}
