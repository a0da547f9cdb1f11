import type { Transaction } from "../../engine/index.ts";
import type { CallOptions, JoinOptions, TransactCallOptions } from "./options.ts";
import type { StoredError } from "./stored-error.ts";

/** What a function is told about its run. */
export interface RunContext {
  readonly key: string;
  /** 1 for the first run of the key's function, one more for each that followed a failure or a death. */
  readonly attempt: number;
  /**
   * A UUID that is the same for every run of this key, in every process and after every crash: hand it to whatever has the effect (as its idempotency key), so that it can tell a repetition. Made from the namespace, the name and
   * the key (RFC 9562, version 8).
   */
  readonly token: string;
  /** Aborted when the caller aborts, and, in `run`, with a `LeaseLostError` when another process may run the function: stop then, the result would not be recorded. */
  readonly signal: AbortSignal;
}

/** What the function came to, in this call or an earlier one. */
export interface Outcome<T> {
  readonly value: T;
  /** Whether the function did not run for this call: the value is that of an earlier one. */
  readonly replayed: boolean;
  /** Which run of the function gave the value. */
  readonly attempt: number;
}

/** What is known of a key. */
export interface KeyStatus {
  /** `retryable`: the function has failed, or its process has died; the next caller runs it again. `failed`: for good. */
  readonly state: "in-progress" | "retryable" | "done" | "failed";
  readonly attempt: number;
  readonly fingerprint?: string;
  /** The latest error, as it is recorded. */
  readonly error?: StoredError;
  /** Since when the function has been running, by the engine's clock: milliseconds since the epoch. */
  readonly since?: number;
  /** Milliseconds for which the record will be kept. */
  readonly ttl?: number;
}

/** For each key, one answer: the function's result, or its final error, is recorded once and given to every caller. */
export interface Idempotency {
  /**
   * Runs the function whose effect is elsewhere (a payment, a mail), unless the key has its answer already, which is then replayed; at most one process runs it at a time, under a lease.
   *
   * *At least once, recorded once*: if the process dies after the effect and before the record, the next caller runs the function again, with the same `token`. Whether the effect happens twice then is up to
   * whoever receives the token. A function that ends after its lease was lost is not recorded.
   * @throws FingerprintMismatchError the key was used with another fingerprint
   * @throws InProgressError it runs elsewhere, and `onInProgress` is "refuse" or the time to wait is up; `details.retryAfterMs`
   * @throws LeaseLostError the function has run, and ended too late to be recorded: call again for the answer
   * @throws InvalidArgumentError, LimitError the result cannot be stored, or does not satisfy the schema; recorded as the final error
   * @throws UnavailableError the engine cannot be reached; the function did not run
   */
  run<T>(key: string, fn: (context: RunContext) => T | Promise<T>, options?: CallOptions<T>): Promise<Outcome<T>>;
  /**
   * Runs the function in a transaction that commits its writes together with the record: its effect on this engine happens exactly once, whatever fails. As in `engine.transact`, the function may run
   * several times before one commits, so it has no other effects. What it throws undoes its writes; a final error is then recorded.
   * @throws FingerprintMismatchError, InProgressError as for `run`
   * @throws OutcomeUnknownError the deadline passed and it could not be found out whether the transaction has committed, or a final error could not be recorded: call again, with the same key, for the answer
   * @throws ConflictError, TimeoutError as for `engine.transact`; nothing was applied
   */
  transact<T>(
    key: string,
    fn: (tx: Transaction, context: RunContext) => T | Promise<T>,
    options?: TransactCallOptions<T>,
  ): Promise<Outcome<T>>;
  /**
   * The same within a transaction begun elsewhere on this engine, such as a consumer's: the record commits if that does. Waits for nobody. What the function throws is thrown on, and nothing is recorded.
   * @throws InProgressError a function runs under this key
   */
  runIn<T>(
    tx: Transaction,
    key: string,
    fn: (context: RunContext) => T | Promise<T>,
    options?: JoinOptions<T>,
  ): Promise<Outcome<T>>;
  /** What is known of the key; `undefined`: nothing. */
  status(key: string, options?: { readonly signal?: AbortSignal }): Promise<KeyStatus | undefined>;
  /**
   * Forgets the answer, so that the next caller runs the function again, with whatever fingerprint. Resolves with whether there was one. For operators: what the function did is not undone.
   * @throws InProgressError it runs
   */
  forget(key: string, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
}
