import type { Duration, StandardSchema } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";

/** A workflow: a plain async function that is carried on, from its history, by whichever process owns the run. */
export interface Workflow<I = unknown, O = unknown> {
  readonly name: string;
  readonly run: (context: WorkflowContext, input: I) => O | Promise<O>;
  readonly input: StandardSchema<I> | undefined;
  readonly output: StandardSchema<O> | undefined;
}

/** Any workflow. */
export interface Definition {
  readonly name: string;
  readonly run: (context: WorkflowContext, input: never) => unknown;
  readonly input: StandardSchema<unknown> | undefined;
  readonly output: StandardSchema<unknown> | undefined;
}

/** A kind of message to runs. */
export interface Signal<P = unknown> {
  readonly name: string;
  readonly schema: StandardSchema<P> | undefined;
  /** Only for the compiler. */
  readonly payload?: P;
}

/** A question to a run, answered from its memory. */
export interface Query<A = unknown, R = unknown> {
  readonly kind: "query";
  readonly name: string;
  readonly schema: StandardSchema<A> | undefined;
  /** Only for the compiler. */
  readonly result?: R;
}

/** A request to a run that changes it, is recorded, and has an answer. */
export interface Update<A = unknown, R = unknown> {
  readonly kind: "update";
  readonly name: string;
  readonly schema: StandardSchema<A> | undefined;
  /** Only for the compiler. */
  readonly result?: R;
}

/** By what runs are found. Names of 1 to 100 characters, at most 20; texts of at most 200. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface StepContext {
  /** What is written through it commits together with the record of the step: exactly once. Costs nothing until it is used. */
  readonly tx: Transaction;
  /** The same for every attempt of this step, whichever process makes it: the idempotency key for the outside. */
  readonly token: string;
  /** Aborted when the attempt has timed out, the run was cancelled, or this process does not own it any more. */
  readonly signal: AbortSignal;
  /** From 1, counted by this owner of the run. */
  readonly attempt: number;
}

export interface RetryPolicy {
  /** Attempts altogether. 1 to 1,000,000. Default 5. */
  readonly attempts?: number;
  /** The pause before the second attempt; doubled for each after it, and varied by up to a half. Default "1s". */
  readonly base?: Duration;
  /** The longest pause. Default "1m". */
  readonly cap?: Duration;
}

export interface StepOptions {
  readonly retry?: RetryPolicy;
  /** Time for one attempt. Default "5m". */
  readonly timeout?: Duration;
}

export interface SagaStepOptions extends StepOptions {
  /** Takes back what the step has done. Gets what the step returned, and a token of its own. */
  readonly undo?: (context: StepContext, result: unknown) => unknown;
  /** Of the compensation: by default it is attempted 1,000 times, up to a minute apart. */
  readonly undoRetry?: RetryPolicy;
}

/**
 * Steps with compensations. When the workflow function throws, or was cancelled, what had completed is taken back in reverse order. A compensation that fails for good stops the run visibly (`stuck`)
 * with its history: `retry` tries it again.
 */
export interface Saga {
  /**
   * Like `step` of the context, but it is finished even if the run is cancelled meanwhile, or another branch fails: it is then taken back.
   * @throws InvalidStateError the saga is being taken back: nothing more is begun
   */
  step<T>(name: string, body: (context: StepContext) => T | Promise<T>, options?: SagaStepOptions): Promise<T>;
  /** From here on nothing is taken back any more, not even what is still under way: what comes after can only go forward. */
  pivot(): void;
}

export interface ChildOptions {
  /** 1 to 200 characters. Default: one made of the parent's. */
  readonly id?: string;
  /** What becomes of it if the parent ends, or goes on anew, before it: it is asked to end, ended at once, or left alone. Default "cancel". */
  readonly onParentEnd?: "cancel" | "terminate" | "abandon";
}

/** What a workflow function may use of the world: everything else must not decide what it does. */
export interface WorkflowContext {
  readonly info: {
    readonly id: string;
    readonly workflow: string;
    readonly started: number;
    /** How often the run has gone on anew. */
    readonly generation: number;
  };
  /** Aborted when the run is cancelled. */
  readonly signal: AbortSignal;
  /**
   * Does something, and remembers what it returned. Writes of its `tx` take effect exactly once; other effects at least once, with the same token.
   * @throws StepFailedError the attempts are used up, or it threw a `FatalError`
   */
  step<T>(name: string, body: (context: StepContext) => T | Promise<T>, options?: StepOptions): Promise<T>;
  /** Waits, by the engine's clock, never less; however long, and across restarts. */
  sleep(duration: Duration): Promise<void>;
  /** Until the date, or the milliseconds since the epoch. */
  sleepUntil(date: Date | number): Promise<void>;
  /** The oldest message of this kind that has not been taken; `undefined` after the timeout. Messages wait for whoever asks for them. */
  waitFor<P>(signal: Signal<P>): Promise<P>;
  waitFor<P>(signal: Signal<P>, options: { readonly timeout: Duration }): Promise<P | undefined>;
  /** Milliseconds since the epoch, by the engine's clock, when the run last heard of something: the same in each replay. */
  now(): number;
  /** Uniform in [0, 1), the same in each replay. Not for secrets. */
  random(): number;
  /** The same in each replay. Not for secrets. */
  uuid(): string;
  /** Whether the run reached this point with code that asks for it: for changes of the code that open runs must not see. The same answer for ever. */
  patched(name: string): boolean;
  saga(): Saga;
  /**
   * Begins another run, once, and waits for its result.
   * @throws StepFailedError it failed, was cancelled or terminated, its input is refused, or a run that is not this one's child has the id
   */
  child<I, O>(workflow: Workflow<I, O>, input: I, options?: ChildOptions): Promise<O>;
  /**
   * Ends this function; the run goes on under the same id with another input and an empty history. Messages that nobody has taken are kept; children are dealt with as at the end. For runs that would else become too long.
   * What it throws is to reach the end of the function.
   */
  continueAsNew(input: unknown): never;
  /** Answers queries of this kind from now on: at once, and without asking the context for anything. */
  handle<A, R>(query: Query<A, R>, answer: (args: A) => R): void;
  /**
   * Carries out updates of this kind from now on, side by side with the rest of the function; may ask the context for whatever the function may. What it returns is the answer.
   * @param options `validate` throws to refuse an update before it is recorded
   */
  handle<A, R>(
    update: Update<A, R>,
    act: (args: A) => R | Promise<R>,
    options?: { readonly validate?: (args: A) => void },
  ): void;
  /** Changes by what the run is found; `null` takes away. Durable when it resolves. */
  setAttributes(changes: Readonly<Record<string, string | number | boolean | null>>): Promise<void>;
  /** Tells the channel `ashlar:workflow:log`, as a rule once: what a replay passes is not told again. */
  log(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What is called inside goes on although the run was cancelled: for cleaning up. */
  shielded<T>(body: () => Promise<T>): Promise<T>;
}

export type RunStatus = "open" | "completed" | "failed" | "cancelled" | "terminated" | "stuck" | "paused";

export interface RunInfo<O = unknown> {
  readonly id: string;
  readonly workflow: string;
  readonly status: RunStatus;
  readonly input?: unknown;
  /** Milliseconds since the epoch. */
  readonly started: number;
  readonly ended?: number;
  readonly result?: O;
  readonly attributes?: Attributes;
  readonly memo?: unknown;
  /** How often it has gone on anew; absent: never. */
  readonly generation?: number;
  /** Of a child. */
  readonly parent?: { readonly id: string };
  /** Of a run that failed, was cancelled or terminated; of one that is stuck, why. */
  readonly error?: { readonly name: string; readonly message: string };
}

/** One thing that has become of a run. */
export interface HistoryEvent {
  /** What of the run it answers: numbered in the order in which the code asked. */
  readonly seq: number;
  readonly kind: "step" | "sleep" | "signal" | "child" | "attributes" | "cancel" | "patch" | "update" | "updated";
  readonly name: string;
  readonly at: number;
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string };
}

/** A handle of one run. */
export interface Run<O = unknown> {
  readonly id: string;
  /**
   * Sends a message. With `tx` it is part of that transaction.
   * @throws InvalidStateError there is no such run, or it has ended
   * @throws LimitError the payload is larger than half a value of the engine
   */
  signal<P>(signal: Signal<P>, payload: P, options?: { readonly tx?: Transaction }): Promise<void>;
  /**
   * Asks the run something; it is brought into memory for that, if need be.
   * @throws InvalidStateError there is no such run, it has ended, or is stuck or paused
   * @throws RequestFailedError it does not answer such queries, or its answer has thrown
   * @throws TimeoutError nobody has answered in `timeout`, by default "10s"
   */
  query<A, R>(
    query: Query<A, R>,
    args: A,
    options?: { readonly timeout?: Duration; readonly signal?: AbortSignal },
  ): Promise<R>;
  /**
   * Asks the run to do something, and waits for the answer. Waits as long as the run does not handle such updates.
   * @param options `id`: of this request, 1 to 200 characters: asked again with it, it is done once
   * @throws InvalidStateError there is no such run, or it has ended, now or before it answered
   * @throws RequestFailedError it refused, or what it did has thrown
   */
  update<A, R>(
    update: Update<A, R>,
    args: A,
    options?: { readonly id?: string; readonly signal?: AbortSignal },
  ): Promise<R>;
  /** Asks the run to end: its waits reject with `CancelledError`, and it may clean up. Harmless for one that has ended. */
  cancel(reason?: string): Promise<void>;
  /** Ends it at once, without any cleaning up. False: it had ended. */
  terminate(reason?: string): Promise<boolean>;
  /** Lets a run that is stuck try again. False: it is not stuck. */
  retry(): Promise<boolean>;
  /** Holds it up: nothing of it is recorded any more, so a step that is under way is executed again later. False: it is not open. */
  pause(): Promise<boolean>;
  /** Lets a run that is paused go on. False: it is not paused. */
  resume(): Promise<boolean>;
  /**
   * Takes the run back to where its history had so many events, and lets it go on from there, whether it has ended or not. Messages that were taken later are there to be taken again.
   * What later steps have done is done, and will be again.
   * @throws InvalidStateError there is no such run
   * @throws InvalidArgumentError its history has fewer events
   */
  reset(events: number): Promise<void>;
  /**
   * Waits for the end.
   * @throws WorkflowFailedError it failed, was cancelled or terminated
   * @throws InvalidStateError there is no such run
   */
  result(options?: { readonly signal?: AbortSignal }): Promise<O>;
  info(): Promise<RunInfo<O> | undefined>;
  history(): Promise<readonly HistoryEvent[]>;
}

export interface StartOptions {
  readonly attributes?: Attributes;
  /** Shown by `info`, and used for nothing. */
  readonly memo?: unknown;
  /** The run is cancelled if it has not ended after this time. */
  readonly deadline?: Duration;
  /** 1 to 200 characters. A run of the same id and workflow is there already: it is returned. Default: a new one. */
  readonly id?: string;
  /** The start is part of this transaction. */
  readonly tx?: Transaction;
}

export interface WorkOptions {
  /** Bodies of steps at once. Default 100. */
  readonly concurrency?: number;
  /** Runs in memory at once; more wait. Default 10,000. */
  readonly runs?: number;
  /** How long `close` lets bodies of steps go on. Default "30s". */
  readonly drain?: Duration;
  /** Its abort closes the worker. */
  readonly signal?: AbortSignal;
}

/** Carries runs on, until it is closed. */
export interface WorkflowWorker extends AsyncDisposable {
  /** Runs in memory. */
  readonly live: number;
  close(): Promise<void>;
  /** Resolves when the worker has been closed; rejects if it had to give up: the engine was closed under it, or the group has another number of shards. */
  readonly done: Promise<void>;
}

export interface WorkflowsOptions {
  /** A group of workflows that share their workers. 1 to 200 characters. Default "default". */
  readonly name?: string;
  /** Cannot be changed later. 1 to 4096. Default 32. */
  readonly shards?: number;
  /** A run that only waits, and has to for longer than this, leaves memory. Default "10s". */
  readonly parkAfter?: Duration;
  /** How long runs that have ended are kept. Default "7d". */
  readonly retention?: Duration;
  /** A run with so many events is cancelled; cleaning up may take as many again. 10 to 100,000. Default 10,000. */
  readonly maxHistory?: number;
  /** Time to live of the workers' leases: how soon others go on with the runs of one that died. Default "15s". */
  readonly lease?: Duration;
}

export interface Workflows {
  /**
   * Begins a run; it is durable when this resolves.
   * @throws InvalidArgumentError the input does not satisfy the schema; the workflow is not one of these
   * @throws InvalidStateError a run of this id is of another workflow; the group has another number of shards
   * @throws LimitError the input is too large
   */
  start<I, O>(workflow: Workflow<I, O>, input: I, options?: StartOptions): Promise<Run<O>>;
  run<O = unknown>(id: string): Run<O>;
  /** Runs in the order of their ids. */
  list(options?: {
    readonly status?: RunStatus;
    readonly workflow?: string;
    /** With all of these. */
    readonly attributes?: Attributes;
    readonly signal?: AbortSignal;
  }): AsyncIterableIterator<RunInfo>;
  work(options?: WorkOptions): WorkflowWorker;
}
