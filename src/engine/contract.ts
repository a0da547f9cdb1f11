import type { Duration, Key, KeyPart, KeyRange, Runtime } from "../core/index.ts";
import type { Blobs } from "./blob-contract.ts";
import type { Guarantees, Limits } from "./guarantees.ts";

export type { BlobGetOptions, BlobInfo, BlobPutOptions, Blobs, StoredBlob } from "./blob-contract.ts";
export { type Guarantees, type Limits, portableLimits } from "./guarantees.ts";

/**
 * The waist: one contract that every engine gives and every block stands on. The comments here are the specification;
 * the conformance suite (`ashlar/conformance`) tests each sentence of it on every engine.
 */
export interface Engine extends AsyncDisposable {
  /** The engine's name as in its URL scheme: "memory", "sqlite", "postgres". */
  readonly name: string;
  /** What this engine promises, as data. `ashlar verify` prints it and tests it. */
  readonly guarantees: Guarantees;
  /** The sizes that this engine accepts. Never below `portableLimits`. */
  readonly limits: Limits;
  /** Clock, chance and timers that everything on this engine uses. */
  readonly runtime: Runtime;
  /** The keys under which this engine's data lies: empty for a whole store, the scope's parts for a scope. */
  readonly namespace: Key;

  readonly kv: Kv;
  readonly log: Log;
  readonly blob: Blobs;
  readonly bus: Bus;

  /**
   * Runs `fn` as one serialisable transaction: every read through `tx` (of keys and of ranges) and every write takes effect at
   * one instant, or none does. Optimistic: `fn` runs again when something that it read has changed, so it must have no
   * other effects than through `tx`. Reads within one attempt may stem from different instants; such an attempt never commits,
   * and an error that `fn` throws is passed on only after its reads were found consistent.
   *
   * A commit whose outcome is unknown is settled before the call returns; the writes happen once.
   * @throws ConflictError attempts or deadline used up by conflicts
   * @throws TimeoutError the deadline passed; definite: nothing was applied
   * @throws OutcomeUnknownError the deadline passed, and a second later the commit was still unanswered or could not be settled
   * @throws InvalidStateError called inside the function of another transaction of the same engine
   */
  transact<T>(fn: (tx: Transaction) => T | Promise<T>, options?: TransactOptions): Promise<T>;

  /**
   * Begins a transaction that its owner ends: for what hands a transaction to somebody else's function and commits what that wrote together with its own,
   * such as the acknowledgement of a message. Serialisable like `transact`, but nothing is repeated: `commit` says whether it took place. Costs nothing until it is used.
   * Unlike inside `transact`, other transactions may be begun meanwhile; they are not part of this one, and must not wait for it once it has run SQL.
   */
  begin(options?: BeginOptions): OpenTransaction;

  /** The transaction as seen from this engine's namespace: how a block writes into a transaction begun elsewhere on the same store. */
  join(tx: Transaction): Transaction;

  /** The same store, confined to keys, topics, blobs and subjects below these parts. Closing a scope leaves the store open. */
  scope(...parts: Key): Engine;

  /**
   * What blocks keep once for the whole open store, whatever their scope, such as the leases of this process: made by `create` when
   * it is first asked for under this name, and disposed of before the store closes.
   * @param create is given the engine without any scope
   */
  shared<T extends AsyncDisposable>(name: string, create: (root: Engine) => T): T;

  /** The engine's clock, milliseconds since the epoch; also the cheapest proof that the engine answers. */
  now(options?: { readonly signal?: AbortSignal }): Promise<number>;

  /** Ends watches and subscriptions, lets commits in flight settle, releases the store. Harmless when repeated; afterwards everything fails with `CLOSED`. */
  close(): Promise<void>;
}

/**
 * The version of an entry: opaque, new with each write, never repeated in the life of a store, the same for all keys that one commit
 * wrote. Compare it for equality only.
 */
export type Version = string & { readonly [versionBrand]: true };
declare const versionBrand: unique symbol;

/** Position of a record in a topic: dense, from 0. */
export type Offset = number & { readonly [offsetBrand]?: true };
declare const offsetBrand: unique symbol;

export interface Entry<V = unknown> {
  readonly key: KeyPart[];
  readonly value: V;
  readonly version: Version;
  /** Milliseconds left to live when it was read; absent if the entry does not expire. */
  readonly ttl?: number;
}

export interface ReadOptions {
  /** Accept an answer that lags behind acknowledged commits, where the engine can give one faster. Default false: linearizable. */
  readonly stale?: boolean;
  readonly signal?: AbortSignal;
}

export interface ListOptions extends ReadOptions {
  /** Entries at most. Default: no bound. */
  readonly limit?: number;
  /** Descending key order. Default false. */
  readonly reverse?: boolean;
}

/** Ordered, transactional keys. Reads are linearizable; commits are strictly serialisable. */
export interface Kv {
  /** The entry of the key, or `undefined`. */
  get<V = unknown>(key: Key, options?: ReadOptions): Promise<Entry<V> | undefined>;

  /** The entries of the keys, in the order asked, from one consistent snapshot. At most `limits.operations` keys. */
  getMany<V = unknown>(keys: readonly Key[], options?: ReadOptions): Promise<(Entry<V> | undefined)[]>;

  /**
   * The entries of the range in key order, read in pages as they are consumed. A page (`limits.listEntries` entries; so any list with a `limit`
   * up to that) is one consistent snapshot; later pages are read later. An entry present throughout is yielded exactly once.
   */
  list<V = unknown>(range: KeyRange, options?: ListOptions): AsyncIterableIterator<Entry<V>>;

  /**
   * Applies the batch atomically: every check holds and every mutation is done, at one instant, durably, or nothing is.
   * @throws ConflictError a check did not hold, or a sum passed its ceiling; `details` is the `Refusal`
   * @throws InvalidStateError `add` met a value that is no integer, or the sum is no safe integer
   * @throws UnavailableError surely not applied
   * @throws OutcomeUnknownError may have been applied: the connection or the signal ended while it was in flight
   */
  commit(batch: Batch, options?: CommitOptions): Promise<Committed>;

  /** Like `commit`, but returns a refusal instead of throwing `ConflictError`: for callers who expect it. */
  tryCommit(batch: Batch, options?: CommitOptions): Promise<Committed | Refused>;

  /** A commit of one `set`. */
  set(key: Key, value: unknown, options?: SetOptions & CommitOptions): Promise<Committed>;
  /** A commit of one `delete`. */
  delete(key: Key, options?: CommitOptions): Promise<Committed>;
  /** A commit of one `add`; resolves with the new sum. */
  add(key: Key, delta: number, options?: AddOptions & CommitOptions): Promise<number>;

  /**
   * First the entries present in the range (one array, maybe empty), then, as things change, the latest state of whatever changed.
   * Level-triggered: states that were overwritten before they were consumed are skipped, never the last one. Arrays are in commit
   * order, and after each array the observer holds a state of the range that existed. (After the engine lost its place in the feed, what was deleted
   * meanwhile comes first: nobody remembers when that was.) Expiry is a change like a delete, seen within about a second.
   * Costs memory for the range's keys. Ends only by `return`, by the signal (rejects with its reason), or by an error.
   */
  watch<V = unknown>(range: KeyRange, options?: WatchOptions): AsyncIterableIterator<Change<V>[]>;
}

export interface WatchOptions {
  readonly signal?: AbortSignal;
}

export type Change<V = unknown> =
  | {
      readonly key: KeyPart[];
      readonly value: V;
      readonly version: Version;
      readonly ttl?: number;
      readonly deleted?: never;
    }
  | { readonly key: KeyPart[]; readonly deleted: true; readonly value?: never; readonly version?: never };

/** Checks and mutations that happen together. A key may be mutated once, a topic appended to once. */
export interface Batch {
  readonly checks?: readonly Check[];
  readonly mutations?: readonly Mutation[];
}

/** Holds if the key is at this version, or, with `undefined`, if it is absent. */
export interface KeyCheck {
  readonly key: Key;
  readonly version: Version | undefined;
}

/** Holds if the range contains exactly these entries at exactly these versions. `entries` in key order, as `list` gave them. */
export interface RangeCheck {
  readonly range: KeyRange;
  readonly entries: readonly { readonly key: Key; readonly version: Version }[];
}

/** Holds if the key is present, at whatever version: for what is rewritten all the time, such as a lease that is renewed. */
export interface PresenceCheck {
  readonly key: Key;
  readonly present: true;
}

export type Check = KeyCheck | PresenceCheck | RangeCheck;

export interface SetOptions {
  /** Time to live from the commit on, on the engine's clock; more than 0. Default: forever. */
  readonly ttl?: Duration;
}

export interface AddOptions {
  /** The sum counts from at least here. */
  readonly floor?: Bound;
  /** The sum is refused above this. */
  readonly ceiling?: Bound;
  /** Time to live from the commit on. Default: an entry that exists keeps its expiry; a new one has none. */
  readonly ttl?: Duration;
}

/** A safe integer, or the engine's clock at the commit, in whole milliseconds or microseconds since the epoch, plus a safe integer. */
export type Bound = number | { readonly clock: "ms" | "us"; readonly plus?: number };

export type Mutation =
  /** Writes the value (anything structured-cloneable but `undefined`). */
  | ({ readonly set: Key; readonly value: unknown } & SetOptions)
  /** Removes the key; harmless if absent. */
  | { readonly delete: Key }
  /** `next = max(current ?? 0, floor) + delta`; refused if above `ceiling`. To hold a sum at or above 0 while counting down, use a floor of `-delta`. */
  | ({ readonly add: Key; readonly delta: number } & AddOptions)
  /** Appends records to a topic of the log. */
  | { readonly append: Topic; readonly records: readonly unknown[] };

export interface CommitOptions {
  /** Before the commit is sent, an abort withdraws it; afterwards it rejects with `OutcomeUnknownError` whose cause is the reason. */
  readonly signal?: AbortSignal;
}

export interface Committed {
  readonly ok: true;
  /** The version of every key that the commit wrote. */
  readonly version: Version;
  /** The result of each `add`, in order. */
  readonly adds: readonly Sum[];
  /** The offset of the first record of each `append`, in order. */
  readonly offsets: readonly Offset[];
}

export interface Sum {
  readonly value: number;
  /** The ceiling with the clock filled in; `undefined` if there was none. */
  readonly ceiling: number | undefined;
}

export interface Refused {
  readonly ok: false;
  readonly refusal: Refusal;
}

/** The first check that did not hold, or else the first sum that was refused. */
export type Refusal =
  | { readonly reason: "check"; readonly check: number }
  | { readonly reason: "ceiling"; readonly mutation: number; readonly value: number; readonly ceiling: number };

/** A topic's name: a string, or a tuple such as `["clicks", 3]`. A string is the tuple of it alone. */
export type Topic = string | Key;

/** Topics of records, appended to and read in order. Appends join commits: `{ append: topic, records }`. */
export interface Log {
  /** A commit of one `append`; resolves with the first record's offset. Records become visible in order: none appears below one already seen. */
  append(topic: Topic, records: readonly unknown[], options?: CommitOptions): Promise<Offset>;
  /** Records from `from` (default: the first kept) on, at most `limit` (default 1000) and about `bytes` (default 1 MiB), at least one if there is one. Empty at the end. */
  read<V = unknown>(topic: Topic, options?: LogReadOptions): Promise<LogRecord<V>[]>;
  /** Records from `from` (default: the first kept; "end": those to come) on, as they come, in arrays, each record once and in order. Ends like `watch`. */
  tail<V = unknown>(topic: Topic, options?: LogTailOptions): AsyncIterableIterator<LogRecord<V>[]>;
  /** `first`: the lowest offset kept; `next`: the offset that the next record gets. Both 0 for a topic never written. */
  bounds(
    topic: Topic,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly first: Offset; readonly next: Offset }>;
  /** Forgets the records below `before`. Offsets are not given out again. Reads below start at the first record kept. */
  trim(topic: Topic, before: Offset): Promise<void>;
}

export interface LogReadOptions {
  readonly from?: Offset;
  readonly limit?: number;
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

export interface LogTailOptions {
  readonly from?: Offset | "end";
  /** Records in one array at most. Default 1000. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface LogRecord<V = unknown> {
  readonly offset: Offset;
  readonly value: V;
  /** The engine's clock at the append, milliseconds since the epoch; never decreasing within a topic. */
  readonly time: number;
}

/**
 * Ephemeral messages, at most once, without history: for wake-ups, invalidations and fan-out. Nothing correct may depend on one arriving.
 * Subjects are dot-separated tokens; in a pattern `*` stands for one token and a last `>` for one or more.
 */
export interface Bus {
  publish(subject: string, payload: unknown, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /**
   * Messages on subjects that match, from the moment that the call resolves. Buffers up to `capacity` messages (default 1024) for a slow consumer, then drops
   * the oldest and counts them in `dropped`.
   */
  subscribe<V = unknown>(
    pattern: string,
    options?: { readonly capacity?: number; readonly signal?: AbortSignal },
  ): Promise<BusSubscription<V>>;
}

export interface BusSubscription<V = unknown> extends AsyncIterable<BusMessage<V>>, AsyncDisposable {
  readonly dropped: number;
  close(): Promise<void>;
}

export interface BusMessage<V = unknown> {
  readonly subject: string;
  readonly payload: V;
}

/** Something held under a lease, such as a lock or a leadership: a transaction that it guards fails with `LEASE_LOST` once it is lost. */
export interface Fence {
  /**
   * Puts the checks that prove the ownership into the transaction.
   * @throws LeaseLostError it is known to be lost
   */
  guard(tx: Transaction): void;
}

export interface TransactOptions {
  /** What must still be held at the instant of the commit. @throws LeaseLostError (from `transact`) it was not; nothing was applied */
  readonly fence?: Fence | readonly Fence[];
  /** Time for all attempts together. Default "10s". */
  readonly deadline?: Duration;
  /** Attempts at most. Default 64. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

export interface BeginOptions {
  /** Becomes the signal of the transaction: ends reads under way. */
  readonly signal?: AbortSignal;
}

/** Disposal rolls back what was not committed. */
export interface OpenTransaction extends AsyncDisposable {
  /** Not to be used after `commit` or `rollback` (`INVALID_STATE`). */
  readonly tx: Transaction;
  /** Whether anything was read, checked or written through it. */
  readonly touched: boolean;
  /** The version of all keys that the commit wrote; `undefined` before the commit, and if its results were lost with the connection. */
  readonly version: Version | undefined;
  /**
   * Applies everything at one instant, or nothing. Once; afterwards the transaction has ended.
   * @param options `deadline` (default "10s"): time for the commit, in which refusals for want of a connection are repeated
   * @returns false: something that was read, or a check whose `otherwise` made no error, does not hold any more, and nothing was applied
   * @throws Error made by the `otherwise` of a check that did not hold
   * @throws ConflictError a sum passed its ceiling; `details` is the `Refusal`
   * @throws UnavailableError TimeoutError surely not applied
   * @throws OutcomeUnknownError the commit stayed unanswered
   */
  commit(options?: { readonly signal?: AbortSignal; readonly deadline?: Duration }): Promise<boolean>;
  /** Drops everything. Harmless when repeated or after `commit`. */
  rollback(): Promise<void>;
}

/** The view that a transaction's function has of the store. Not to be used after the function has returned (`INVALID_STATE`). */
export interface Transaction {
  /** Aborted when the transaction's deadline passes or its caller aborts. */
  readonly signal: AbortSignal;
  /** 1 for the first run of the function. */
  readonly attempt: number;

  /**
   * Adds a check that must hold at the commit besides those of what was read. If it does not, the function runs again like after any conflict, or, if
   * `otherwise` is given, the transaction ends with the error that it makes; if it makes none, it has merely been told.
   */
  check(check: Check, options?: { readonly otherwise?: () => Error | undefined }): void;

  /** The value of the key, or `undefined`; remembered as a check. */
  get<V = unknown>(key: Key): Promise<V | undefined>;
  /** The values of the keys, in the order asked. */
  getMany<V = unknown>(keys: readonly Key[]): Promise<(V | undefined)[]>;
  /** The entries of the range, this transaction's own writes included; the part of the range that was read is remembered as a check. */
  list<V = unknown>(
    range: KeyRange,
    options?: { readonly limit?: number; readonly reverse?: boolean },
  ): AsyncIterableIterator<{ readonly key: KeyPart[]; readonly value: V }>;

  /** Buffered until the commit; seen by later reads of this transaction. The value is encoded at once: changing it later has no effect. */
  set(key: Key, value: unknown, options?: SetOptions): void;
  delete(key: Key): void;
  /** The sum is known after the commit. Does not conflict with other adds of the key unless this transaction also reads it. */
  add(key: Key, delta: number, options?: AddOptions): AfterCommit<number>;
  /** The first offset is known after the commit. */
  append(topic: Topic, records: readonly unknown[]): AfterCommit<Offset>;

  /**
   * The user's own SQL in the same transaction, on engines that have SQL. The first call begins an SQL transaction; it commits with everything else.
   * @throws UnsupportedError the engine has no SQL
   */
  readonly sql: Sql;
}

/** A result that exists once the transaction has committed. */
export interface AfterCommit<T> {
  /** @throws InvalidStateError read before the commit, or after a commit whose results were lost with the connection */
  readonly value: T;
}

/** SQL in the engine's own dialect, with its own placeholders (`?` for SQLite, `$1` for Postgres). */
export interface Sql {
  /** Runs a statement; resolves with the rows changed. */
  run(text: string, parameters?: readonly unknown[]): Promise<{ readonly changes: number }>;
  /** Runs a query; resolves with its rows. */
  all<Row = Record<string, unknown>>(text: string, parameters?: readonly unknown[]): Promise<Row[]>;
}
