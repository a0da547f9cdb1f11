import type { Duration, StandardSchema } from "../../core/index.ts";
import type { Kv, Transaction } from "../../engine/index.ts";

/** An event as the program knows it: a plain object whose `type` says what happened. */
export interface DomainEvent {
  readonly type: string;
}

/** What goes with the events of one append. `correlation` and `causation` are the usual names; any others may stand beside them. At most 8 KiB encoded. */
export interface Metadata {
  /** Shared by all that one request led to. */
  readonly correlation?: string;
  /** The id of the event or command that led to this. */
  readonly causation?: string;
  readonly [name: string]: unknown;
}

export interface RecordedEvent<E extends DomainEvent = DomainEvent> {
  /** Unique: the one given with the append, or made for it. */
  readonly id: string;
  readonly stream: string;
  /** Of the event in its stream: dense, from 1. */
  readonly version: number;
  readonly type: E["type"];
  /** The event as it was appended, brought up to date by the upcasters. */
  readonly data: E;
  readonly metadata: Metadata;
  /** The engine's clock at the append, as the appending process knew it: milliseconds since the epoch. */
  readonly time: number;
}

/** An event with its place in the order of all events of the store. */
export interface PositionedEvent<E extends DomainEvent = DomainEvent> extends RecordedEvent<E> {
  /** Dense over all streams, from 0. */
  readonly position: number;
}

/** What the stream's version must be: that number (0: no stream), no stream, any, or a stream that exists. */
export type ExpectedVersion = number | "none" | "any" | "exists";

/** Streams of events, each with a version that appends check, and one order of all of them. */
export interface EventStore<S, E extends DomainEvent, C> {
  readonly name: string;

  /**
   * Appends events to a stream, all or none, in one commit. When it resolves they are durable, in the stream and in the order of all events. An answer that gets lost is found out by
   * the ids of the events; nothing is appended twice.
   * @throws ConflictError the stream is not at the version that was expected; `details` is `{ stream, expected, actual }`
   * @throws InvalidStateError the stream has been deleted
   * @throws LimitError too many events, or too large
   * @throws OutcomeUnknownError the deadline passed before the outcome was known; repeat it with the same ids and the same `expected`
   */
  append(stream: string, events: readonly E[], options?: AppendOptions): Promise<Appended>;

  /** The events of a stream in the order of their versions, read in pages as they are consumed. None if there is no such stream. */
  read(stream: string, options?: ReadStreamOptions): AsyncIterableIterator<RecordedEvent<E>>;

  /**
   * The state of a stream: `evolve` over its events, from a snapshot where there is one. Linearizable. With `tx`, that transaction commits only if the stream is unchanged.
   */
  load(
    stream: string,
    options?: { readonly tx?: Transaction; readonly signal?: AbortSignal },
  ): Promise<{ readonly state: S; readonly version: number }>;

  /**
   * Loads the state, lets `decide` say what events the command leads to, and appends them if nobody appended meanwhile; else once more.
   * @throws ConflictError others were faster in each attempt
   * @throws Error what `decide` throws
   */
  execute(stream: string, command: C, options?: ExecuteOptions): Promise<Executed<S, E>>;

  /** All events in one order, which contains the order of each stream. With `live`, those to come, too, each once and without a gap; it then ends only by the signal. */
  all(options?: AllOptions<E>): AsyncIterableIterator<PositionedEvent<E>>;

  /** The position that the next event will get. */
  end(options?: { readonly signal?: AbortSignal }): Promise<number>;

  /**
   * Hands all events to the handler, in their order, in one process at a time; what it writes through `tx` commits together with the position, so it happens once. All processes that
   * give the same name share the work: when one ends, the next goes on. A higher `version` of the handler begins from the start beside the
   * present one, and takes its place in one commit when it has caught up; handlers of lower versions end.
   */
  project(name: string, handler: ProjectionHandler<E>, options?: ProjectionOptions): Projection;

  /**
   * Builds the projection anew beside the present one, as a new generation, and puts it in its place in one commit when it has caught up; `done` resolves then. The handles of
   * `project` with the same version go on with the new generation. A rebuild that was interrupted is gone on with.
   */
  rebuild(name: string, handler: ProjectionHandler<E>, options?: ProjectionOptions): Projection;

  /**
   * Forgets the events of the stream below the version `before`; the stream keeps its version. They are gone from `read`, `load`, and then from `all`. The last event before the end may stay in the
   * store's bytes until more is appended, but never shows.
   */
  truncate(stream: string, options: { readonly before: number; readonly signal?: AbortSignal }): Promise<void>;

  /** Forgets all events of the stream and leaves a tombstone: nothing can be appended to it any more. Harmless when repeated. False if there was no such stream. */
  delete(
    stream: string,
    options?: { readonly expected?: ExpectedVersion; readonly signal?: AbortSignal },
  ): Promise<boolean>;

  /** Lets snapshots under way end and closes projections. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface AppendOptions {
  /** Default "any". */
  readonly expected?: ExpectedVersion;
  readonly metadata?: Metadata;
  /** An id for each event, for who repeats an append: with a number or "none" as `expected`, a repeated append is answered like the first; else if it is among the last 100 appends of the stream. */
  readonly ids?: readonly string[];
  /** The events are appended when this transaction commits. */
  readonly tx?: Transaction;
  /** Time for all attempts. Default "10s". Not together with `tx`. */
  readonly deadline?: Duration;
  readonly signal?: AbortSignal;
}

export interface Appended {
  /** Of the last event. */
  readonly version: number;
  /** Of the last event. If the answer was lost, or the events were there already, a position at or after it. In a transaction: there once that has committed. */
  readonly position: number;
  /** The events with these ids were there already. */
  readonly duplicate?: true;
}

export interface ReadStreamOptions {
  /** The first version to read. Default 1; with `reverse`, the latest. */
  readonly from?: number;
  /** The last version to read. Default: the latest; with `reverse`, 1. */
  readonly to?: number;
  /** Descending. Default false. */
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface ExecuteOptions {
  readonly metadata?: Metadata;
  /** Everything happens in this transaction, once; that one's conflicts are its owner's. */
  readonly tx?: Transaction;
  /** At most. 1 to 1000. Default 20. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

export interface Executed<S, E extends DomainEvent> {
  /** What was decided; may be empty. */
  readonly events: readonly E[];
  /** After the events. */
  readonly state: S;
  /** Of the stream, after the events. */
  readonly version: number;
  /** See `Appended`; `undefined` if nothing was decided. */
  readonly position: number | undefined;
}

export interface AllOptions<E extends DomainEvent = DomainEvent> {
  /** The first position to read. Default 0. "end": those to come. */
  readonly from?: number | "end";
  /** Go on with the events to come. Default false. */
  readonly live?: boolean;
  /** Only events of these types, before upcasting. Default: all. */
  readonly types?: readonly E["type"][];
  readonly signal?: AbortSignal;
}

export type ProjectionHandler<E extends DomainEvent> = (
  event: PositionedEvent<E>,
  context: ProjectionContext,
) => void | Promise<void>;

export interface ProjectionContext {
  /** Commits together with the position of the batch. Its keys are the engine's that the store was made with; its SQL is the user's. */
  readonly tx: Transaction;
  /** The same transaction, in a namespace that belongs to this generation of the projection: see `Projection.view`. */
  readonly view: Transaction;
  /** Which build of the projection this is, from 1: to name tables by. */
  readonly generation: number;
  /** Aborted when the projection stops, or another process owns it. */
  readonly signal: AbortSignal;
}

export interface ProjectionOptions {
  /** Position to begin from when there is none yet. Default 0. */
  readonly from?: number;
  /** Events of one commit at most. 1 to 10,000. Default 200. */
  readonly batch?: number;
  /** Of the handler: a higher one is built anew. Default 1; `rebuild`: the present one. */
  readonly version?: number;
  /** Only events of these types; others are passed over. Default: all. */
  readonly types?: readonly string[];
  /** Failures of the handler with one event, one after another, after which the projection gives up (`done` rejects). Default: never. */
  readonly attempts?: number;
  /** Pauses after failures: doubled each time up to the cap. Default { base: "100ms", cap: "30s" }. */
  readonly backoff?: { readonly base?: Duration; readonly cap?: Duration };
  /** Time to live of the lease of the process that owns it: how soon another goes on when it died. Default "15s". */
  readonly lease?: Duration;
  /** How long `close` lets the handler go on before it aborts its signal. Default "30s". */
  readonly drain?: Duration;
  /** Its abort closes the projection. */
  readonly signal?: AbortSignal;
}

export interface Projection extends AsyncDisposable {
  readonly name: string;
  /** Here and now: waiting for the process that owns it, building beside the present one, at work, or over. */
  readonly status: ProjectionStatus;
  /** The position below which everything is projected, in the generation in use, by whichever process. 0: nothing. */
  position(options?: { readonly signal?: AbortSignal }): Promise<number>;
  /** Events that are not projected yet. */
  lag(options?: { readonly signal?: AbortSignal }): Promise<number>;
  /** Resolves when the event at that position is projected, by whichever process: to read what one has written. */
  waitFor(position: number, options?: { readonly signal?: AbortSignal; readonly timeout?: Duration }): Promise<void>;
  /** The namespace of the generation in use, to read what its handler wrote through `context.view`. */
  view(options?: { readonly signal?: AbortSignal }): Promise<ProjectionView>;
  /** Stops; another process goes on. */
  close(): Promise<void>;
  /** Resolves when it has ended: closed, superseded by a higher version, or (`rebuild`) put in place. Rejects if it gave up. */
  readonly done: Promise<void>;
}

export type ProjectionStatus = "waiting" | "building" | "live" | "superseded" | "closed" | "failed";

export interface ProjectionView {
  readonly generation: number;
  readonly kv: Pick<Kv, "get" | "getMany" | "list">;
}

export interface EventStoreOptions<S, E extends DomainEvent, C> {
  /** The state of a stream without events. Needed for `load` and `execute`. */
  readonly initial?: () => S;
  /** The state after an event. Pure: it may change the state that it is given, and nothing else. */
  readonly evolve?: (state: S, event: E) => S;
  /** The events that a command leads to in a state; throws to refuse. Pure: it may run several times. Needed for `execute`. */
  readonly decide?: (command: C, state: S) => E | readonly E[];
  /** What events must satisfy when they are appended; the schema's output is stored. */
  readonly schema?: StandardSchema<E>;
  /** Keep the state now and then, so that `load` reads fewer events. Default: no snapshots. */
  readonly snapshots?: SnapshotOptions;
  /**
   * By type of event: functions that bring an event of one form to the next. An event is stored with the number of functions that there were for its type, and goes through those that came after.
   */
  readonly upcasters?: Readonly<Record<string, readonly ((event: never) => DomainEvent)[]>>;
  /** Streams whose latest version is remembered, so that an append needs no read before. 0 to 1,000,000. Default 10,000. */
  readonly remembered?: number;
}

export interface SnapshotOptions {
  /** After so many events since the last. 1 to 1,000,000. */
  readonly every: number;
  /** Of `evolve` and the state's form: snapshots of others are not used. Count it up when either changes. Default 1. */
  readonly version?: number;
}
