import { AsyncLocalStorage } from "node:async_hooks";
import {
  ConflictError,
  fullJitter,
  InvalidStateError,
  invalidArgument,
  isAshlarError,
  type Runtime,
  raceAbort,
  sleep,
  TimeoutError,
  toMilliseconds,
  withDeadline,
} from "../core/index.ts";
import type { BeginOptions, Fence, OpenTransaction, Transaction, TransactOptions } from "./contract.ts";
import type { Driver, RawCommit, RawCommitted, RawOutcome, SqlSession } from "./driver.ts";
import type { Space } from "./encode-batch.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Marker } from "./marker.ts";
import { ManualTransaction } from "./open-transaction.ts";
import { refusedError } from "./refusal.ts";
import { Attempt } from "./transaction.ts";
import { createTransactionView } from "./transaction-view.ts";

/** What all transactions of one store share. */
export class Transactor {
  readonly #driver: Driver;
  readonly #runtime: Runtime;
  readonly #commits: GroupCommit;
  readonly #markers: Marker | undefined;
  /** The attempt whose function is running here, to refuse a transaction inside a transaction. */
  readonly #running = new AsyncLocalStorage<Attempt>();

  constructor(driver: Driver, runtime: Runtime, commits: GroupCommit) {
    this.#driver = driver;
    this.#runtime = runtime;
    this.#commits = commits;
    if (driver.guarantees.unknownOutcomes === "possible") this.#markers = new Marker(driver, runtime, commits);
  }

  async transact<T>(
    space: Space,
    lane: string,
    fn: (tx: Transaction) => T | Promise<T>,
    options: TransactOptions,
  ): Promise<T> {
    this.#assertNotNested();
    const attempts = options.attempts ?? 64;
    if (!Number.isSafeInteger(attempts) || attempts < 1)
      throw invalidArgument("attempts", attempts, "a whole number of at least 1");
    const deadlineMs = toMilliseconds(options.deadline ?? "10s", "deadline", { min: 1 });
    const fences = toFences(options.fence);
    const guarded = fences.length === 0 ? fn : (tx: Transaction) => guardedBy(fences, tx, fn);
    using scope = withDeadline(this.#runtime, {
      deadlineMs,
      name: "transact",
      ...(options.signal && { signal: options.signal }),
    });
    let last: unknown;
    for (let number = 1; number <= attempts; number++) {
      if (scope.signal.aborted) throw withCause(scope.signal.reason, last);
      const attempt = new Attempt(this.#driver, scope.signal);
      const inVain = number === 1 && attempts > 1 && this.#runtime.maybe("transact: a first attempt in vain");
      try {
        return await this.#once(
          attempt,
          createTransactionView(attempt, space, scope.signal, number),
          lane,
          guarded,
          scope.signal,
          inVain,
        );
      } catch (error) {
        if (!(error instanceof Retry))
          throw scope.signal.aborted && error === scope.signal.reason ? withCause(error, last) : error;
        last = error.cause;
      } finally {
        attempt.end();
      }
      if (number < attempts) await this.#backOff(number, scope.signal, last);
    }
    throw new ConflictError(
      `the transaction met a conflict in each of its ${attempts} attempts; others keep changing what it reads`,
      { cause: last },
    );
  }

  /** A transaction that its owner ends. */
  begin(space: Space, lane: string, options: BeginOptions): OpenTransaction {
    const submit = (commit: RawCommit, signal: AbortSignal) => this.#submit(commit, lane, signal);
    return new ManualTransaction(this.#driver, this.#runtime, space, submit, options);
  }

  /** Runs the function inside an SQL transaction that belongs to the caller, who commits it. Conflicts are the caller's to retry. */
  async transactIn<T>(
    space: Space,
    session: SqlSession,
    fn: (tx: Transaction) => T | Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    this.#assertNotNested();
    const attempt = new Attempt(this.#driver, signal);
    attempt.adopt(session);
    try {
      const value = await this.#running.run(
        attempt,
        async () => await fn(createTransactionView(attempt, space, signal, 1)),
      );
      const outcome = await session.apply(attempt.toCommit());
      if (!outcome.ok) {
        throw (outcome.reason === "check" ? attempt.finalError(outcome.index) : undefined) ?? refusedError(outcome);
      }
      attempt.settle(outcome);
      return value;
    } finally {
      attempt.end();
    }
  }

  async #once<T>(
    attempt: Attempt,
    tx: Transaction,
    lane: string,
    fn: (tx: Transaction) => T | Promise<T>,
    signal: AbortSignal,
    inVain: boolean,
  ): Promise<T> {
    try {
      const value = await this.#run(attempt, tx, lane, fn, signal);
      attempt.end();
      if (inVain) throw new Retry(undefined);
      if (!attempt.isTrivial) attempt.settle(await this.#commit(attempt, lane, signal));
      return value;
    } catch (error) {
      if (attempt.hasSession) await attempt.rollback();
      throw error;
    }
  }

  async #run<T>(
    attempt: Attempt,
    tx: Transaction,
    lane: string,
    fn: (tx: Transaction) => T | Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    try {
      return await raceAbort(
        this.#running.run(attempt, async () => await fn(tx)),
        signal,
      );
    } catch (error) {
      attempt.end();
      if (signal.aborted && error === signal.reason) throw error;
      // An SQL transaction may hold up every other commit, the following one among them.
      await attempt.rollback();
      if (isTransient(error)) throw new Retry(error);
      // The function may have failed only because its reads stem from different instants.
      const verdict = await this.#commits
        .submit({ ...attempt.toCommit(), mutations: [] }, lane, signal)
        .catch(() => undefined);
      if (verdict && !verdict.ok) {
        throw (verdict.reason === "check" ? attempt.finalError(verdict.index) : undefined) ?? new Retry(error);
      }
      throw error;
    }
  }

  async #commit(attempt: Attempt, lane: string, signal: AbortSignal): Promise<RawCommitted | undefined> {
    const commit = attempt.toCommit();
    let outcome: RawOutcome | "applied";
    try {
      outcome = attempt.hasSession ? await attempt.commitInSession(commit) : await this.#submit(commit, lane, signal);
    } catch (error) {
      throw isTransient(error) ? new Retry(error) : error;
    }
    if (outcome === "applied") return undefined;
    if (outcome.ok) return outcome;
    if (outcome.reason !== "check") throw refusedError(outcome);
    throw attempt.finalError(outcome.index) ?? new Retry(refusedError(outcome));
  }

  #submit(commit: RawCommit, lane: string, signal: AbortSignal): Promise<RawOutcome | "applied"> {
    const writes = commit.mutations.length > 0;
    return this.#markers && writes
      ? this.#markers.submit(commit, lane, signal)
      : this.#commits.submit(commit, lane, signal, graceMs);
  }

  async #backOff(attempt: number, signal: AbortSignal, last: unknown): Promise<void> {
    try {
      await sleep(this.#runtime, fullJitter(this.#runtime, attempt, { base: 1, cap: 100 }), { signal });
    } catch (reason) {
      throw withCause(reason, last);
    }
  }

  #assertNotNested(): void {
    const outer = this.#running.getStore();
    if (!outer?.isActive) return;
    throw new InvalidStateError(
      "transact was called inside the function of another transaction of the same engine; pass that one's `tx` instead, it would not be part of it",
    );
  }
}

function toFences(given: TransactOptions["fence"]): readonly Fence[] {
  if (given === undefined) return [];
  const fences: readonly Fence[] = "guard" in given ? [given] : given;
  if (!Array.isArray(fences) || fences.some((fence) => typeof fence?.guard !== "function"))
    throw invalidArgument("fence", given, "a lock, a leadership or another fence, or an array of them");
  return fences;
}

/** The checks of the fences come first, so that a fence that is lost is told from a conflict. */
function guardedBy<T>(
  fences: readonly Fence[],
  tx: Transaction,
  fn: (tx: Transaction) => T | Promise<T>,
): T | Promise<T> {
  for (const fence of fences) fence.guard(tx);
  return fn(tx);
}

/** How long the answer to a commit that was sent before the deadline is waited for after it: certainty is worth a moment. */
const graceMs = 1000;

/** Thrown inside `transact` when the attempt is to be repeated; its cause says why. */
class Retry {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/** Whether a new attempt may go better, and nothing of this one was applied. */
function isTransient(error: unknown): boolean {
  if (!isAshlarError(error)) return false;
  if (error.code === "CONFLICT") return error.details["reason"] === "reread";
  return error.code === "UNAVAILABLE" || error.code === "OVERLOADED";
}

/** A deadline that passed says what kept the transaction from finishing. */
function withCause(reason: unknown, cause: unknown): unknown {
  if (!isAshlarError(reason, "TIMEOUT") || cause === undefined) return reason;
  const why = cause instanceof Error ? `; the last attempt failed with: ${cause.message}` : "";
  return new TimeoutError(`${reason.message}${why}`, { cause });
}
