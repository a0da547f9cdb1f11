import type { Duration, StandardSchema } from "../../core/index.ts";
import type { AfterCommit, Offset, Transaction } from "../../engine/index.ts";
import type { EventFilter } from "../cloud-events/index.ts";
import type {
  Counts,
  DeadReason,
  Failure,
  Headers,
  RetryOptions,
  Verdict,
  Worker,
  WorkOptions,
} from "../queue/index.ts";

/** Events that are told to everybody who subscribes. */
export interface Topic<T> {
  readonly name: string;

  /**
   * Publishes an event. When it resolves, the event is durable, and every subscription that wants it will handle it; without `tx`, events of the same moment share commits.
   * @throws InvalidArgumentError the data cannot be stored or does not satisfy the schema, or an option is wrong
   * @throws OverloadedError too much waits in this process to be written (64 MiB, 100,000 events)
   */
  publish(data: T, options?: PublishOptions): Promise<Published>;
  /** Publishes events in the order given, in as few commits as they fit into. */
  publishMany(events: readonly T[], options?: PublishOptions): Promise<readonly Published[]>;

  /**
   * Handles the events of a durable subscription in this process, until the handle is closed. Whoever subscribes under the same name shares its events: each is handled by one of them. What the handler
   * writes through `tx` commits together with the acknowledgement.
   * @param name of the subscription, 1 to 200 characters; the first time that it is used, it begins where `from` says
   */
  subscribe(name: string, handler: EventHandler<T>, options?: SubscribeOptions<T>): Subscriber;

  /**
   * Events from a place on, as they are: no subscription, nothing is acknowledged, nothing is kept for this reader. With `live`, goes on with what comes.
   */
  read(options?: ReadTopicOptions): AsyncIterableIterator<TopicEvent<T>>;

  /** The durable subscriptions. */
  subscriptions(): AsyncIterableIterator<SubscriptionInfo>;
  /** A durable subscription, to look after it. It need not have a handler in this process. */
  subscription(name: string): Subscription<T>;

  /** What is kept. */
  bounds(): Promise<{ readonly first: Offset; readonly next: Offset }>;
  /** Forgets what is older than `retention` and has been taken by every subscription. Happens by itself now and then. Resolves with the first offset kept. */
  trim(): Promise<Offset>;
}

export interface TopicOptions<T> {
  /** What data must satisfy when they are published and when they are handled; handlers get the schema's output. */
  readonly schema?: StandardSchema<T>;
  /** Version of the data that this program publishes and handles. Default 1. */
  readonly version?: number;
  /** Makes data of this version out of data of an older one. Needed for as long as older events are kept. */
  readonly upgrade?: (data: unknown, version: number) => unknown;
  /** How long events are kept at least; those that a subscription has not taken are kept until it has. Default "7d". */
  readonly retention?: Duration;
}

export interface PublishOptions {
  /** The event is published when this transaction commits. */
  readonly tx?: Transaction;
  /** Events of one key are handled in order by subscriptions that ask for it. At most 200 characters. */
  readonly key?: string;
  /** What happened: dotted names, which subscriptions choose by patterns. Default: the topic's name. */
  readonly type?: string;
  /** What it happened to. */
  readonly subject?: string;
  /** Stable over repetitions; yours, if you have one. Default: a fresh one. */
  readonly id?: string;
  /** Travel with the event: trace context, tenant, … At most 8 KiB. */
  readonly headers?: Headers;
  readonly signal?: AbortSignal;
}

export interface Published {
  readonly id: string;
  /** Known once it is durable. */
  readonly offset: AfterCommit<Offset>;
}

export interface TopicEvent<T> {
  readonly id: string;
  readonly topic: string;
  readonly type: string;
  readonly subject: string | undefined;
  readonly data: T;
  readonly key: string | undefined;
  readonly headers: Headers;
  /** Its place in the topic. */
  readonly offset: Offset;
  /** When it was published: the engine's clock in milliseconds. */
  readonly time: number;
  /** The version of the data as it was published. */
  readonly version: number;
}

export type EventHandler<T> = (event: TopicEvent<T>, context: EventContext) => unknown;

export interface EventContext {
  /** A transaction that commits together with the event's acknowledgement, if the handler returns. */
  readonly tx: Transaction;
  /** Aborted when the `timeout` passes, the lease is lost, or the subscriber stops and its drain time is over. */
  readonly signal: AbortSignal;
  /** 1 for the first. */
  readonly attempt: number;
  /** The latest failures. */
  readonly history: readonly Failure[];
}

/** Where to begin: the oldest event kept, what is published from now on, an offset, or a time by the engine's clock. */
export type From = "start" | "end" | { readonly offset: Offset } | { readonly time: Date | number };

export interface SubscribeOptions<T> extends WorkOptions {
  /** Where a subscription that is new begins. Default "end". */
  readonly from?: From;
  /** Only events whose type fits one of the patterns: `orders.*`, `orders.>`. */
  readonly types?: string | readonly string[];
  /** Only events for which it holds: over `id`, `type`, `subject`, `key`, headers by their names, and `data.…`. The same wherever the subscription is used. */
  readonly filter?: EventFilter | readonly EventFilter[];
  /** `"key"`: events of one key one after another in the order of their publishing; one that fails holds up those behind it until it is done or a dead letter. Default: in order of publishing as far as nothing fails and `concurrency` is 1. */
  readonly order?: "key";
  readonly retry?: RetryOptions;
  /** Whether events that failed for good are kept as dead letters. Default true. */
  readonly deadLetter?: boolean;
  /** As for queues. Default "15s". */
  readonly lease?: Duration;
  /** What a failure means. Default as for queues: `"retry"`, but what `park()` and `drop()` throw is heeded. */
  readonly classify?: (error: unknown, event: TopicEvent<T>) => Verdict;
}

export interface Subscriber extends Worker {
  readonly name: string;
  /** Resolves when the subscription exists: what is published from then on, it gets. */
  readonly ready: Promise<void>;
}

export interface ReadTopicOptions {
  /** Default "start". */
  readonly from?: From;
  readonly types?: string | readonly string[];
  readonly filter?: EventFilter | readonly EventFilter[];
  /** Go on with what comes, until the signal is aborted or the loop is left. Default false: end at the present end. */
  readonly live?: boolean;
  readonly signal?: AbortSignal;
}

export interface SubscriptionInfo {
  readonly name: string;
  /** The first offset that it has not taken. */
  readonly position: Offset;
  /** Events that it has not taken, those included that it will not want. */
  readonly lag: number;
  /** Milliseconds since the oldest of them was published; 0 if there is none. */
  readonly behindMs: number;
}

export interface Subscription<T> {
  readonly name: string;
  /** @returns undefined: there is none of this name */
  info(): Promise<SubscriptionInfo | undefined>;
  counts(): Promise<Counts>;
  /** Goes on from there: forwards to leave out, back to replay. What is being handled or waits for another attempt stays so. */
  seek(from: From): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  readonly deadLetters: DeadEvents<T>;
  /** Ends the subscription, and forgets its dead letters. Its subscribers are to be closed before. */
  delete(): Promise<void>;
}

export interface DeadEvent<T> {
  readonly event: TopicEvent<T>;
  readonly reason: DeadReason;
  readonly history: readonly Failure[];
  /** When it died. */
  readonly at: number;
  /** For `redrive` and `delete`. */
  readonly id: string;
}

export interface DeadEvents<T> {
  list(options?: { readonly limit?: number; readonly signal?: AbortSignal }): AsyncIterableIterator<DeadEvent<T>>;
  /** As for queues. */
  redrive(options?: {
    readonly ids?: readonly string[];
    readonly limit?: number;
    readonly per?: Duration;
    readonly signal?: AbortSignal;
  }): Promise<number>;
  delete(id: string): Promise<boolean>;
}
