import type { Engine, Transaction } from "../../engine/index.ts";
import type { Slot } from "./claim.ts";
import {
  type ChildState,
  type DeadReason,
  type Death,
  type Delayed,
  type Failure,
  type FinishedJob,
  keys,
  type ParentLink,
  type StoredJob,
  sinceOf,
} from "./layout.ts";
import type { Settings } from "./options.ts";

/** What becomes of a job that was taken. */
export type Outcome =
  | { readonly kind: "done"; readonly result: unknown }
  /** It is tried again when due. */
  | { readonly kind: "again"; readonly due: number; readonly failure: Failure }
  | { readonly kind: "dead"; readonly reason: DeadReason; readonly failure: Failure }
  | { readonly kind: "end"; readonly state: "dropped" | "cancelled" | "expired"; readonly failure: Failure | undefined }
  /** It was not begun, or stopped for no fault of its own: it waits again where it was. */
  | { readonly kind: "return" };

/** Failures kept with a job. */
const historyLength = 10;

/** Where outcomes are written: the queue's scope, and the user's engine for parents in other queues. */
export interface Desk {
  readonly name: string;
  /** The scope of the queue with that name, beside this one. */
  readonly scopeOf: (queue: string) => Engine;
  readonly settings: Settings;
}

/**
 * Writes what the outcome means for everything but the claim. Ten operations at most.
 * @param tx of the queue's scope
 * @param now the engine's clock
 */
export function writeOutcome(tx: Transaction, desk: Desk, slot: Slot, outcome: Outcome, now: number): void {
  const { settings } = desk;
  if (settings.concurrency !== undefined) tx.add(keys.running, -1);
  switch (outcome.kind) {
    case "again": {
      const job = withFailure({ ...slot.job, failures: slot.job.failures + 1, due: outcome.due }, outcome.failure);
      tx.set(keys.job(slot.id), job);
      placeDelayed(tx, slot.id, job, outcome.due);
      if (settings.maxWaiting !== undefined) tx.add(keys.waiting, 1);
      return;
    }
    case "return":
      if (!slot.stored) tx.set(keys.job(slot.id), slot.job);
      placeReady(tx, slot.id, slot.job);
      if (settings.maxWaiting !== undefined) tx.add(keys.waiting, 1);
      return;
    default:
      writeEnd(tx, desk, slot, outcome, now);
  }
}

/** The job's entry among those that are ready; for one with an ordering key, its turn says where. */
export function placeReady(tx: Transaction, id: string, job: StoredJob, since = sinceOf(job)): void {
  tx.set(keys.ready(job.priority ?? 0, since, id), true);
  if (job.key !== undefined) tx.set(keys.turn(job.key, id), since);
  ring(tx);
}

function placeDelayed(tx: Transaction, id: string, job: StoredJob, due: number): void {
  tx.set(keys.delayed(due, id), job.priority ?? 0);
  if (job.key !== undefined) tx.set(keys.turn(job.key, id), due);
  ring(tx);
}

/** A job of the shelf that nobody has taken yet: where it waits. Four operations at most, and the bell. */
export function placeNew(tx: Transaction, id: string, job: StoredJob, now: number): void {
  const { key, priority = 0, due } = job;
  tx.set(keys.job(id), job);
  if (due !== undefined && due > now) {
    // One with an ordering key joins the others of its key when it is due.
    const delayed: Delayed = key === undefined ? priority : { key, priority };
    tx.set(keys.delayed(due, id), delayed);
  } else awaken(tx, id, key === undefined ? priority : { key, priority }, sinceOf(job));
  ring(tx);
}

/** What was delayed becomes ready, or joins those of its ordering key. */
export function awaken(tx: Transaction, id: string, delayed: Delayed, since: number): void {
  if (typeof delayed === "number") {
    tx.set(keys.ready(delayed, since, id), true);
    return;
  }
  tx.set(keys.chain(delayed.key, delayed.priority, id), true);
  tx.set(keys.stir("chain", delayed.key), true);
}

/** Tells workers that look at nothing else that the shelf has changed. */
export function ring(tx: Transaction): void {
  tx.set(keys.bell, 0);
}

export function withFailure(job: StoredJob, failure: Failure): StoredJob {
  return { ...job, history: [...(job.history ?? []).slice(1 - historyLength), failure] };
}

export type End = Extract<Outcome, { kind: "done" | "dead" | "end" }>;

/** Writes the end of a job, wherever it was. */
export function writeEnd(
  tx: Transaction,
  desk: Desk,
  slot: Pick<Slot, "id" | "job" | "stored" | "progressed">,
  end: End,
  now: number,
): void {
  const { id, job } = slot;
  if (end.kind === "dead" && desk.settings.deadLetter) {
    const { due: _, ...rest } = withFailure({ ...job, failures: job.failures + 1 }, end.failure);
    tx.set(keys.job(id), rest);
    tx.set(keys.dead(id), { reason: end.reason, died: now } satisfies Death);
  } else if (slot.stored) tx.delete(keys.job(id));
  if (slot.progressed) tx.delete(keys.progress(id));
  releaseHolds(tx, id, job);
  if (job.parent) writeChild(tx, desk, job.parent, id, end);
  // What is known of its children goes when the mark is settled.
  if (job.children !== undefined) {
    tx.set(keys.stir("parent", id), true);
    ring(tx);
  }
  if (desk.settings.results !== undefined)
    tx.set(keys.finished(id), toFinished(end, job, now), { ttl: desk.settings.results });
}

/** Lets go of what a job has kept from others: its turn and its deduplication key. */
function releaseHolds(tx: Transaction, id: string, job: StoredJob): void {
  if (job.dedupe !== undefined) tx.delete(keys.dedupe(job.dedupe));
  if (job.key !== undefined) {
    tx.delete(keys.turn(job.key, id));
    tx.set(keys.stir("chain", job.key), true);
    ring(tx);
  }
}

function writeChild(tx: Transaction, desk: Desk, parent: ParentLink, id: string, end: End): void {
  const scope = desk.scopeOf(parent.queue);
  const there = scope.join(tx);
  const state: ChildState =
    end.kind === "done"
      ? { state: "done", queue: desk.name, ...(end.result !== undefined && { result: end.result }) }
      : {
          state: "failed",
          queue: desk.name,
          reason: end.failure?.message ?? (end.kind === "end" ? end.state : end.reason),
        };
  there.set(keys.parent(parent.id, id), state);
  there.set(keys.stir("parent", parent.id), true);
  ring(there);
}

function toFinished(end: End, job: StoredJob, now: number): FinishedJob {
  const attempts = job.failures + (end.kind === "end" && end.state === "expired" ? 0 : 1);
  if (end.kind === "done")
    return { state: "done", at: now, attempts, ...(end.result !== undefined && { result: end.result }) };
  return {
    state: end.kind === "dead" ? "dead" : end.state,
    at: now,
    attempts,
    ...(end.failure && { error: end.failure }),
  };
}
