import {
  type Duration,
  fullJitter,
  InvalidStateError,
  isAshlarError,
  type Runtime,
  sleep,
  toMilliseconds,
  withDeadline,
} from "../core/index.ts";
import type { BeginOptions, OpenTransaction, Transaction, Version } from "./contract.ts";
import type { Driver, RawCommit, RawOutcome } from "./driver.ts";
import type { Space } from "./encode-batch.ts";
import { refusedError } from "./refusal.ts";
import { Attempt } from "./transaction.ts";
import { createTransactionView } from "./transaction-view.ts";
import { toVersion } from "./versions.ts";

/** Sends a commit; "applied": it took place, and its results are lost. */
export type Submit = (commit: RawCommit, signal: AbortSignal) => Promise<RawOutcome | "applied">;

/** One attempt whose end is in the hands of whoever began it. */
export class ManualTransaction implements OpenTransaction {
  readonly tx: Transaction;
  readonly #attempt: Attempt;
  readonly #runtime: Runtime;
  readonly #submit: Submit;
  #version: Version | undefined;
  #state: "open" | "ending" | "ended" = "open";

  constructor(driver: Driver, runtime: Runtime, space: Space, submit: Submit, options: BeginOptions) {
    const signal = options.signal ?? new AbortController().signal;
    this.#runtime = runtime;
    this.#submit = submit;
    this.#attempt = new Attempt(driver, signal);
    this.tx = createTransactionView(this.#attempt, space, signal, 1);
  }

  get version(): Version | undefined {
    return this.#version;
  }

  get touched(): boolean {
    return this.#attempt.touched;
  }

  async commit(options: { readonly signal?: AbortSignal; readonly deadline?: Duration } = {}): Promise<boolean> {
    if (this.#state !== "open")
      throw new InvalidStateError("the transaction has been committed or rolled back already");
    const deadlineMs = toMilliseconds(options.deadline ?? "10s", "deadline", { min: 1 });
    this.#state = "ending";
    this.#attempt.end();
    using scope = withDeadline(this.#runtime, {
      deadlineMs,
      name: "commit",
      ...(options.signal && { signal: options.signal }),
    });
    try {
      return await this.#apply(scope.signal);
    } finally {
      await this.#end();
    }
  }

  async rollback(): Promise<void> {
    if (this.#state !== "open") return;
    this.#attempt.end();
    await this.#end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.rollback();
  }

  async #apply(signal: AbortSignal): Promise<boolean> {
    const commit = this.#attempt.toCommit();
    const outcome = this.#attempt.hasSession
      ? await this.#attempt.commitInSession(commit)
      : await this.#patiently(commit, signal);
    if (outcome === "applied") {
      this.#attempt.settle(undefined);
      return true;
    }
    if (outcome.ok) {
      this.#attempt.settle(outcome);
      this.#version = toVersion(outcome.revision);
      return true;
    }
    if (outcome.reason !== "check") throw refusedError(outcome);
    const final = this.#attempt.finalError(outcome.index);
    if (final) throw final;
    return false;
  }

  /** What was surely not applied is sent again until the deadline. */
  async #patiently(commit: RawCommit, signal: AbortSignal): Promise<RawOutcome | "applied"> {
    for (let failures = 0; ; failures++) {
      try {
        return await this.#submit(commit, signal);
      } catch (error) {
        if (!isAshlarError(error) || (error.code !== "UNAVAILABLE" && error.code !== "OVERLOADED")) throw error;
        const wait = fullJitter(this.#runtime, failures, { base: 5, cap: 500 });
        await sleep(this.#runtime, wait, { signal }).catch(() => {
          throw error;
        });
      }
    }
  }

  async #end(): Promise<void> {
    this.#state = "ended";
    if (this.#attempt.hasSession) await this.#attempt.rollback();
  }
}
