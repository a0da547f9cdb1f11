import type { Duration } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";

/**
 * What its sender calls a message, whenever it sends it: a text of 1 to 4,000 characters, or, for a CloudEvent, its source and id, which name it together.
 */
export type MessageId = string | { readonly source: string; readonly id: string };

export interface InboxOptions {
  /** How long it is remembered that a message came: longer than its sender goes on sending it. 10 s to 10 years. Default "7d". */
  readonly retention?: Duration;
  /** Bytes of what a handler returns, encoded, at most: it is kept with the receipt. 1 to what the engine's values hold, less 16 KiB. Default 65,536. */
  readonly maxResultBytes?: number;
}

export interface ReceiveOptions {
  /**
   * The transaction of someone else, such as a queue's handler: receipt and effect commit if that does. A handler that throws leaves in it what it wrote before.
   */
  readonly tx?: Transaction;
  /** What the message says (its body): should the same id come with another, it is refused. Default: nothing is compared. */
  readonly fingerprint?: unknown;
  /** Time for all attempts together. Not with `tx`. Default "10s". */
  readonly deadline?: Duration;
  /** Ends the receipt; what has not committed never does. Not with `tx`. */
  readonly signal?: AbortSignal;
}

/** What a handler is given. */
export interface ReceiveContext {
  /** The id as it was given. */
  readonly id: MessageId;
  /** What is written through it commits together with the receipt. */
  readonly tx: Transaction;
  /** Aborted when the caller aborts or the deadline passes. */
  readonly signal: AbortSignal;
}

export interface Receipt<T> {
  /** Whether the message had been received before. The handler did not run. */
  readonly duplicate: boolean;
  /** What the handler returned, for a duplicate: when the message was received. */
  readonly value: T;
}

/** Messages of one foreign sender, each of which takes effect once, however often it is sent. */
export interface Inbox {
  readonly name: string;
  /**
   * Runs the handler in a transaction that commits its writes together with the receipt of the message; or, if the message was received before, gives what was returned then. Of receipts of one
   * message at the same time exactly one takes effect, and all others are duplicates.
   *
   * The handler may run several times before one run commits, as in `engine.transact`, so it must have no effect but through `tx`. A handler that throws undoes its writes, and the message is not received: it may come again.
   * @throws FingerprintMismatchError the id came before with another message
   * @throws OutcomeUnknownError it could not be found out whether the receipt has committed: receive the message again
   * @throws ConflictError TimeoutError UnavailableError nothing was applied
   * @throws LimitError what the handler returned is too large to be kept; nothing was applied
   */
  receive<T = void>(
    id: MessageId,
    handler: (context: ReceiveContext) => T | Promise<T>,
    options?: ReceiveOptions,
  ): Promise<Receipt<T>>;
  /** Whether the message has been received, within the retention. */
  has(id: MessageId, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
  /** For operators: forgets that the message came, so that it is handled when it comes again. What it did is not undone. Resolves with whether it had come. */
  forget(id: MessageId, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
}
