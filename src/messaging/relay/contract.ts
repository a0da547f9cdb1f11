import type { Duration, Runtime } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import type { Headers, Queue, RetryOptions, Worker } from "../queue/index.ts";

/** What a delivery is told. */
export interface DeliverContext {
  /** The message's id: the same in every attempt, in every process. The receiver recognises repetitions by it. */
  readonly id: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** Aborted when the attempt's time is up, the worker stops and its drain time is over, or another process may deliver the message. */
  readonly signal: AbortSignal;
  /** What is written through it commits together with the acknowledgement of the delivery. */
  readonly tx: Transaction;
  /** The ordering key. */
  readonly key: string | undefined;
  /** What was sent along. */
  readonly headers: Headers;
  /** When the message was sent: the engine's clock in milliseconds. */
  readonly sent: number;
  /** Clock and timers of the engine. */
  readonly runtime: Runtime;
}

/**
 * Brings a message to the outside. When it resolves, the message is delivered. What it throws is retried with backoff (an error that knows when to come back, `details.retryAfterMs`, not before), but
 * `park(reason)` makes a dead letter of the message at once, `drop(reason)` forgets it, and `stop(reason)` pauses the relay.
 */
export type Deliver<T> = (message: T, context: DeliverContext) => void | Promise<void>;

export interface RelayOptions<T> {
  readonly deliver: Deliver<T>;
  /** Default: 16 attempts over about a day and a quarter: `{ attempts: 16, backoff: { base: "5s", cap: "12h" } }`. */
  readonly retry?: RetryOptions;
  /** Deliveries begun in a time, over all processes. */
  readonly rateLimit?: { readonly limit: number; readonly per: Duration };
  /** Deliveries at a time, over all processes. Default: no limit but that of each process (`run`). */
  readonly concurrency?: number;
  /** Time for one attempt. 1 ms to 1 day. Default "10m"; a `webhook` has its own, shorter one. */
  readonly timeout?: Duration;
  /** Time to live of the lease of a delivery: how soon another process goes on after one died. 1 s to 1 h. Default "15s". */
  readonly lease?: Duration;
  /** For how long from its sending an id that the sender gave is not sent again. Default: while the message is under way. */
  readonly remember?: Duration;
}

export interface SendOptions {
  /** The message is sent when this transaction commits, and only then. */
  readonly tx?: Transaction;
  /** 1 to 200 printable ASCII characters without spaces and dots. A message whose id is under way (see `remember`) is not sent again. Default: one that is given. */
  readonly id?: string;
  /** Messages of one key are delivered one after another, in the order of their sending. At most 200 characters. */
  readonly key?: string;
  /** Not to be delivered before this time from now. */
  readonly delay?: Duration;
  /** A message that could not be begun to be delivered within this time is dropped. Default: never. */
  readonly expires?: Duration;
  /** Go along with the message, as `context.headers`: trace context, tenant, … At most 8 KiB. */
  readonly headers?: Headers;
  readonly signal?: AbortSignal;
}

export interface Sent {
  /** What the receiver knows the message by. */
  readonly id: string;
  /** The id of the job in `relay.queue`. Without an `id` of the sender's the same. */
  readonly job: string;
  /** The id is under way already: nothing was sent. */
  readonly duplicate?: true;
}

export interface RunOptions {
  /** Deliveries at a time, in this process. 1 to 10,000. Default 10. */
  readonly concurrency?: number;
  /** How long `close` lets deliveries go on before it aborts their signals. Default "30s". */
  readonly drain?: Duration;
  /** Its abort closes what runs. */
  readonly signal?: AbortSignal;
}

/** As it stands in the queue. */
export interface Outgoing<T> {
  readonly message: T;
  /** Only if the sender gave one; else it is the job's. */
  readonly id?: string;
}

/** Messages to the outside, delivered at least once, each under an id that stays the same. */
export interface Relay<T> {
  readonly name: string;
  /**
   * Sends a message. When it resolves (with `tx`: when that commits), the message is durable, and is delivered once or more often, or becomes a dead letter.
   * @throws InvalidArgumentError LimitError an option is wrong, or the message cannot be stored
   * @throws OutcomeUnknownError it may have been sent: send it again under an `id` of yours, and it is sent once
   */
  send(message: T, options?: SendOptions): Promise<Sent>;
  /** Delivers, in this process, until it is closed. Any number of processes may. */
  run(options?: RunOptions): Worker;
  /** What is under way: to look into, pause and resume, and its dead letters to look into, redrive and delete. */
  readonly queue: Queue<Outgoing<T>>;
}
