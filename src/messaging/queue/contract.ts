import type { Duration, StandardSchema } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import type { DeadReason, Failure, Headers } from "./layout.ts";

export type { DeadReason, Failure, Headers } from "./layout.ts";

/** Work that waits to be done, by whoever comes first. */
export interface Queue<T> {
  readonly name: string;

  /**
   * Adds a job. When it resolves, the job is durable and will be handled at least once; without `tx` adds of the same moment share commits.
   * @throws InvalidArgumentError the data cannot be stored or does not satisfy the schema, or an option is wrong
   * @throws OverloadedError the queue is full (`maxWaiting`, with `whenFull: "refuse"`), or too much waits in this process to be written (64 MiB, 100,000 jobs)
   */
  add(data: T, options?: AddOptions): Promise<Added>;

  /** Adds jobs in the order given, in as few commits as they fit into: with `tx` all or none, else those of a commit together. */
  addMany(items: readonly T[], options?: AddManyOptions): Promise<readonly Added[]>;

  /** Adds a job that waits for other jobs, its children, and finds their results. All in one commit. */
  addFlow(
    parent: FlowParent<T>,
    options?: { readonly tx?: Transaction; readonly signal?: AbortSignal },
  ): Promise<Added>;

  /**
   * Handles jobs in this process until the worker is closed. What the handler writes through `tx` commits together with the job's acknowledgement: once, whatever
   * happens. Other effects happen at least once. A handler whose transaction meets a conflict runs again at once.
   * @param handler what it returns is the job's result
   */
  work<R = unknown>(handler: Handler<T, R>, options?: WorkOptions): Worker;

  /**
   * The result of the job, as soon as there is one. Needs the option `results` of the queue.
   * @throws InvalidStateError the job failed for good, was dropped, cancelled, or is not known (any more)
   */
  result<R = unknown>(id: string, options?: { readonly signal?: AbortSignal }): Promise<R>;

  /** What is known of the job; `undefined`: nothing (any more). */
  get(id: string): Promise<JobInfo<T> | undefined>;
  /** The jobs in one of the states, oldest first, read in pages as they are consumed. */
  list(
    state: ListedState,
    options?: { readonly limit?: number; readonly signal?: AbortSignal },
  ): AsyncIterableIterator<JobInfo<T>>;
  /** How many jobs are in which state, about: a job that moves on meanwhile may be counted twice or not at all; but that nothing waits and nothing is active is only said if it was so at one instant. Costs reading the entries of the shelf, so it stops counting at `upTo` (default 10,000) in each state. */
  counts(options?: { readonly upTo?: number }): Promise<Counts>;

  /** Takes a job out that waits; tells a handler that runs it to stop (its signal), and lets it not be tried again. False: it has ended, or was never. */
  cancel(id: string): Promise<boolean>;
  /** Lets a job that is delayed run now. False if it does not wait for a time. */
  promote(id: string): Promise<boolean>;
  /** Lets no more jobs be taken, by any worker in any process; what runs goes on. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  readonly deadLetters: DeadLetters<T>;
  /** Takes out all jobs that wait, are delayed or blocked; with `dead`, dead letters instead. Resolves with their number. */
  purge(options?: { readonly dead?: boolean; readonly signal?: AbortSignal }): Promise<number>;
}

export interface Added {
  readonly id: string;
  /** The deduplication key was in use; `id` is the job's that has it. Nothing was added. */
  readonly duplicate?: true;
}

export interface AddOptions {
  /** The job is added when this transaction commits. */
  readonly tx?: Transaction;
  /** Not to be handled before this time from now. */
  readonly delay?: Duration;
  /** Not to be handled before this instant, by the engine's clock. */
  readonly at?: Date | number;
  /** Higher goes first. A whole number from -1,000,000 to 1,000,000. Default 0. */
  readonly priority?: number;
  /** Jobs with the same key are handled one after another, in the order of their adding (or as many at once as the queue's `perKey` says); others go on. At most 200 characters. */
  readonly key?: string;
  /**
   * While a job with this key is not finished (or, with a `window`, for that time from its adding), another is not added. At most 200 characters.
   */
  readonly dedupe?: string | { readonly key: string; readonly window?: Duration };
  /** A job that has not been begun after this time is dropped. */
  readonly expires?: Duration;
  /** Travel with the job: trace context, tenant, … At most 8 KiB. */
  readonly headers?: Headers;
  readonly signal?: AbortSignal;
}

export interface AddManyOptions
  extends Pick<AddOptions, "tx" | "delay" | "at" | "priority" | "key" | "expires" | "headers" | "signal"> {}

export interface FlowParent<T> {
  readonly data: T;
  readonly options?: Pick<AddOptions, "priority" | "headers">;
  /** Jobs of this queue or others of the same engine. At most 40; fewer where the engine's commits are small (a fifth of their operations). */
  readonly children: readonly FlowChild[];
  /** When a child fails for good: `"fail"` (default): the parent becomes a dead letter; `"run"`: it runs when all have ended, and sees which failed. */
  readonly onChildFailure?: "fail" | "run";
}

export interface FlowChild {
  /** A queue of the same engine and namespace. Default: the parent's. */
  readonly queue?: Pick<Queue<never>, "name">;
  readonly data: unknown;
  readonly options?: Pick<AddOptions, "priority" | "headers" | "delay" | "key">;
}

export interface Job<T> {
  /** Stable over all attempts: hand it to the outside as an idempotency key. */
  readonly id: string;
  readonly data: T;
  readonly headers: Headers;
  /** 1 for the first. */
  readonly attempt: number;
  readonly priority: number;
  readonly key: string | undefined;
  /** When it was added: the engine's clock in milliseconds. */
  readonly added: number;
  /** The latest failures. */
  readonly history: readonly Failure[];
}

export type Handler<T, R = unknown> = (job: Job<T>, context: JobContext) => R | Promise<R>;

export interface JobContext {
  /** A transaction that commits together with the job's acknowledgement, if the handler returns. */
  readonly tx: Transaction;
  /** Aborted when the job is cancelled, its `timeout` passes, its lease is lost, or the worker stops and its drain time is over. */
  readonly signal: AbortSignal;
  /** Tells how far it is: for `get`. Not part of `tx`; lost without harm. */
  progress(value: unknown): Promise<void>;
  /** What has become of the children, for a parent of a flow. */
  children(): Promise<readonly ChildResult[]>;
}

export interface ChildResult {
  readonly id: string;
  readonly queue: string;
  readonly state: "done" | "failed";
  readonly result?: unknown;
  readonly reason?: string;
}

export interface QueueOptions<T = unknown> {
  /** What data must satisfy when it is added and when it is handled; handlers get the schema's output. */
  readonly schema?: StandardSchema<T>;
  readonly retry?: RetryOptions;
  /** Whether jobs that failed for good are kept as dead letters. Default true. */
  readonly deadLetter?: boolean;
  /** Jobs with the same ordering key in flight at a time. 1 to 20. Default 1: in order. */
  readonly perKey?: number;
  /** Jobs in flight over all workers. Default: no limit. */
  readonly concurrency?: number;
  /** Jobs begun in a time, over all workers. */
  readonly rateLimit?: { readonly limit: number; readonly per: Duration };
  /** Jobs that may wait in the lane and on the shelf. Default: no limit. */
  readonly maxWaiting?: number;
  /** Default "wait". */
  readonly whenFull?: "wait" | "refuse";
  /** How long results and ends of jobs are kept for `result` and `get`. Default: not at all. */
  readonly results?: Duration;
  /** Time to live of the leases under which jobs are handled: how soon others go on after a process died. 1 s to 1 h. Default "15s". */
  readonly lease?: Duration;
  /** What a failure means. Default: `"retry"`, but what `park()` and `drop()` throw is heeded. */
  readonly classify?: (error: unknown, job: Job<T>) => Verdict;
}

export type Verdict = "retry" | "park" | "drop" | { readonly retryAfter: Duration };

export interface RetryOptions {
  /** In all, the first included. 1 to 1000. Default 5. Deaths of the process that runs it count; conflicts, stops and lost leases while others go on do not. */
  readonly attempts?: number;
  /** Pause after the first failure, doubled after each, with jitter between half and all of it; or a function of the attempt that failed. Default { base: "1s", cap: "1h" }. */
  readonly backoff?:
    | { readonly base?: Duration; readonly cap?: Duration }
    | ((attempt: number, error: unknown) => Duration);
}

export interface WorkOptions {
  /** Handlers at a time. 1 to 10,000. Default 10. */
  readonly concurrency?: number;
  /** Jobs taken beyond those, waiting in memory, at most. They are taken only as far as the handlers are so quick that they begin within about 50 ms. 0 to 10,000. Default 1000. */
  readonly prefetch?: number;
  /** Time for one attempt. Default: no limit. */
  readonly timeout?: Duration;
  /** How long `close` lets handlers go on before it aborts their signals. Default "30s". */
  readonly drain?: Duration;
  /** Its abort closes the worker. */
  readonly signal?: AbortSignal;
}

export interface Worker extends AsyncDisposable {
  /** Handlers under way. */
  readonly running: number;
  /** Takes no more jobs, lets handlers end (see `drain`), gives back what was not begun. No job loses an attempt by it. */
  close(options?: { readonly drain?: Duration }): Promise<void>;
  /** Resolves when the worker has been closed; rejects if it had to give up because the engine was closed under it or failed for good. */
  readonly done: Promise<void>;
}

export type JobState =
  | "waiting"
  | "delayed"
  | "blocked"
  | "active"
  | "dead"
  | "done"
  | "dropped"
  | "cancelled"
  | "expired";
export type ListedState = "waiting" | "delayed" | "blocked" | "active" | "dead" | "finished";

export interface JobInfo<T = unknown> {
  readonly id: string;
  readonly state: JobState;
  readonly data?: T;
  readonly headers?: Headers;
  readonly priority?: number;
  readonly key?: string;
  readonly added?: number;
  readonly due?: number;
  /** Attempts that have failed. */
  readonly failures?: number;
  readonly history?: readonly Failure[];
  readonly progress?: unknown;
  readonly reason?: DeadReason;
  readonly result?: unknown;
  /** When it ended. */
  readonly ended?: number;
}

export interface Counts {
  /** May be taken now. */
  readonly waiting: number;
  /** Wait for a time. */
  readonly delayed: number;
  /** Wait for others of their key, or for children. */
  readonly blocked: number;
  readonly active: number;
  readonly dead: number;
  readonly paused: boolean;
}

export interface DeadLetters<T> {
  list(options?: { readonly limit?: number; readonly signal?: AbortSignal }): AsyncIterableIterator<JobInfo<T>>;
  /**
   * Lets dead letters be tried anew, with a full retry budget; oldest first.
   * @param options `ids`: these; `limit`: so many at most; `per`: not more than `limit` in that time, until all are done
   * @returns how many
   */
  redrive(options?: {
    readonly ids?: readonly string[];
    readonly limit?: number;
    readonly per?: Duration;
    readonly signal?: AbortSignal;
  }): Promise<number>;
  delete(id: string): Promise<boolean>;
}
