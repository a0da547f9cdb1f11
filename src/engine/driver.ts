import type { ByteRange } from "../core/index.ts";
import type { Guarantees, Limits, Sql } from "./contract.ts";

/**
 * What an engine implements: the waist seen from below. Everything is bytes and numbers here; tuples, values,
 * versions, validation, transactions, watching and gathering are shared code above (see `createEngine`).
 *
 * Rules that hold for every method:
 * - Keys are encoded tuples, at most `limits.keyBytes` long, ordered bytewise. The caller has checked all limits.
 * - Byte arrays handed to a driver may be kept until the call settles and are never written to by either side.
 *   Byte arrays that a driver returns belong to the caller and never change afterwards.
 * - An expired entry is absent everywhere (reads, checks, `add`), swept or not. Expiry is judged by the engine's clock.
 * - Errors are `AshlarError`s: `UnavailableError` when surely nothing was applied, `OutcomeUnknownError` when it may
 *   have been, `ClosedError` after `close`, `CorruptionError` when stored bytes make no sense.
 */
export interface Driver {
  /** The engine's name as in its URL scheme: "memory", "sqlite", "postgres". */
  readonly name: string;
  readonly guarantees: Guarantees;
  readonly limits: Limits;
  /** How the shared group commit should feed `commitMany`. */
  readonly flush: FlushPolicy;

  /** The entries of the keys, in the order asked, `undefined` where absent; all from one consistent snapshot. */
  getMany(
    keys: readonly Uint8Array[],
    options: RawReadOptions,
  ): (RawEntry | undefined)[] | Promise<(RawEntry | undefined)[]>;

  /**
   * The first `limit` entries of the range in key order (descending with `reverse`), from one consistent snapshot.
   * Fewer than `limit` entries means that the range is exhausted. `limit` is at most `limits.listEntries`.
   */
  list(range: ByteRange, options: RawListOptions): RawEntry[] | Promise<RawEntry[]>;

  /**
   * Applies the commits in the given order, each atomically, as if one after the other, durably before the promise
   * resolves (as `guarantees.durability` says), and returns one outcome each.
   * Each successful commit that writes takes the next revision.
   * Rejecting with `UnavailableError` says that none of them was applied; with `OutcomeUnknownError`, that any may be.
   */
  commitMany(commits: readonly RawCommit[]): RawOutcome[] | Promise<RawOutcome[]>;

  /**
   * Starts the change feed; the promise resolves once every later acknowledged commit will reach the sink.
   * Called at most once at a time; the subscription ends by `close`.
   */
  watch(sink: ChangeSink): Promise<RawFeed>;

  /**
   * Deletes up to `limit` expired entries (as ordinary commits that the change feed reports) and whatever else of the
   * driver's bookkeeping is out of date. Resolves with the number of entries deleted.
   */
  sweep(limit: number): Promise<number>;

  /** When the next entry expires, by the engine's clock, if the driver knows that of all entries without asking anybody; `Infinity`: none does. Then nobody needs to look before. */
  nextExpiry?(): number;

  /** The engine's clock in milliseconds since the epoch: a round trip for a server. */
  now(): Promise<number>;

  /** The revision of the latest commit, linearizable like a read; 0 for a store never written. */
  revision(): number | Promise<number>;

  /** Reads of the log. Appends go through `commitMany`. Absent: the shared layer keeps the log in keys. */
  readonly log?: LogDriver;
  /** Ephemeral messages. Absent: the shared layer sends them through keys and the change feed. */
  readonly bus?: BusDriver;
  /** Opens an SQL transaction whose writes commit together with a commit of ours. Absent: the engine has no SQL. */
  openSql?(options: { readonly signal?: AbortSignal }): Promise<SqlSession>;

  /** Releases everything. In-flight commits settle first. Called once. */
  close(): Promise<void>;
}

/** How commits are gathered for `commitMany`. */
export interface FlushPolicy {
  /** Commits handed over together at most. */
  readonly commits: number;
  /** Bytes of keys and values handed over together at most (one commit may exceed it alone). */
  readonly bytes: number;
  /** `commitMany` calls in flight at once at most. */
  readonly inFlight: number;
  /** Hand over at once instead of gathering the commits of one turn of the event loop. */
  readonly immediate: boolean;
}

export interface RawEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The revision of the commit that wrote it. Positive; larger is later; never repeats in the life of a store. */
  readonly revision: number;
  /** Milliseconds until it expires, on the engine's clock, when it was read; `undefined` if it does not expire. */
  readonly ttl: number | undefined;
}

export interface RawReadOptions {
  /** A read that may lag behind acknowledged commits is good enough. */
  readonly stale?: boolean;
  readonly signal?: AbortSignal;
}

export interface RawListOptions extends RawReadOptions {
  readonly limit: number;
  readonly reverse: boolean;
}

/** One commit. Invariant: no key is mutated twice, no topic is appended to twice. */
export interface RawCommit {
  readonly checks: readonly RawCheck[];
  readonly mutations: readonly RawMutation[];
  /** Size of all keys, values and records: what the bounds of a flush count. */
  readonly bytes: number;
}

export type RawCheck = RawKeyCheck | RawRangeCheck;

/** Instead of a revision: the key is present, whatever its revision. */
export const anyRevision = -1;

/** Holds if the key is at this revision; 0 means absent, `anyRevision` present. */
export interface RawKeyCheck {
  readonly kind: "key";
  readonly key: Uint8Array;
  readonly revision: number;
}

/**
 * Holds if the range contains exactly these keys at exactly these revisions, in key order. The entries need not stem from one instant (a
 * transaction reads a long range in pages), so neither their number nor their greatest revision tells enough: each of them counts.
 */
export interface RawRangeCheck {
  readonly kind: "range";
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly keys: readonly Uint8Array[];
  readonly revisions: readonly number[];
}

export type RawMutation = RawSet | RawDelete | RawAdd | RawAppend;

export interface RawSet {
  readonly kind: "set";
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Milliseconds to live from the commit on, positive; `undefined`: forever. */
  readonly ttl: number | undefined;
}

export interface RawDelete {
  readonly kind: "delete";
  readonly key: Uint8Array;
}

/** `next = max(current ?? 0, floor) + delta`, stored by `encodeInteger`; refused if `next > ceiling` or not a safe integer. */
export interface RawAdd {
  readonly kind: "add";
  readonly key: Uint8Array;
  readonly delta: number;
  readonly floor: RawBound | undefined;
  readonly ceiling: RawBound | undefined;
  /** Milliseconds to live from the commit on; `undefined`: an entry that exists keeps its expiry, a new one has none. */
  readonly ttl: number | undefined;
}

/** `plus`, or the engine's clock at the commit (whole milliseconds or microseconds since the epoch) plus `plus`. */
export interface RawBound {
  readonly clock: "none" | "ms" | "us";
  readonly plus: number;
}

/** The records get the topic's next offsets, in order, without a gap. */
export interface RawAppend {
  readonly kind: "append";
  readonly topic: Uint8Array;
  readonly records: readonly Uint8Array[];
}

export type RawOutcome = RawCommitted | RawRefused;

export interface RawCommitted {
  readonly ok: true;
  /** The commit's revision; for a commit without mutations, any revision current at its instant. */
  readonly revision: number;
  /** One for each `add`, in order. */
  readonly adds: readonly RawSum[];
  /** One for each `append`, in order: the offset of its first record. */
  readonly offsets: readonly number[];
}

export interface RawSum {
  readonly value: number;
  /** The ceiling with the clock filled in. */
  readonly ceiling: number | undefined;
}

/**
 * The first thing that did not hold: checks in order, then adds in order. Nothing was applied.
 * - `check`: index into `checks`.
 * - `ceiling`: index into `mutations`, the sum that was refused, and the ceiling.
 * - `not-integer`, `overflow`: index into `mutations`; the present value is no integer, or the sum is no safe integer.
 */
export type RawRefused = { readonly ok: false } & (
  | { readonly reason: "check"; readonly index: number }
  | { readonly reason: "ceiling"; readonly index: number; readonly value: number; readonly ceiling: number }
  | { readonly reason: "not-integer"; readonly index: number }
  | { readonly reason: "overflow"; readonly index: number }
);

/** Where a driver reports changes. Its methods return at once and never throw. */
export interface ChangeSink {
  /** Whether anyone wants this key: a driver need not read or deliver others. */
  wants(key: Uint8Array): boolean;
  /**
   * The latest state of every wanted key that changed since the previous call, as of the snapshot just after the commit with revision
   * `position`: calls move the observer from one state of the store to a later one. In commit order as far as it shows.
   * `topics` are those appended to. To be called also with empty arrays when commits passed that nobody wants, so that
   * the position advances (the hub waits for it to reach `revision()`).
   */
  changed(changes: readonly RawChange[], topics: readonly Uint8Array[], position: number): void;
  /** The feed lost its place (a reconnect, a trimmed history): anything may have changed. It goes on from here. */
  reset(): void;
  /** The feed is over. */
  failed(error: Error): void;
}

export interface RawChange {
  readonly key: Uint8Array;
  /** `undefined`: absent. */
  readonly entry: RawEntry | undefined;
}

export interface RawFeed extends RawSubscription {
  /** The position at which the feed began: changes of commits up to it are not reported. */
  readonly start: number;
  /** Looks for changes now instead of at the next hint or poll. Returns at once. */
  refresh(): void;
}

export interface RawSubscription {
  close(): Promise<void>;
}

export interface LogDriver {
  /**
   * Records from offset `from` on, at most `limit` and about `bytes` bytes, but at least one if there is one.
   * Reading below the first offset kept starts at the first one kept. An empty array: nothing there yet.
   */
  read(
    topic: Uint8Array,
    options: { readonly from: number; readonly limit: number; readonly bytes: number; readonly signal?: AbortSignal },
  ): RawRecord[] | Promise<RawRecord[]>;
  /** `first`: the lowest offset kept; `next`: the offset that the next record gets. Both 0 for an unknown topic. */
  bounds(topic: Uint8Array): RawBounds | Promise<RawBounds>;
  /** Forgets the records below `before` (at most up to `next`). Offsets are never given out again. */
  trim(topic: Uint8Array, before: number): Promise<void>;
}

export interface RawRecord {
  readonly offset: number;
  readonly value: Uint8Array;
  /** The engine's clock at the append, milliseconds since the epoch; never decreasing within a topic. */
  readonly time: number;
}

export interface RawBounds {
  readonly first: number;
  readonly next: number;
}

export interface BusDriver {
  /** Sends at most once to those subscribed now. `subject` is opaque to the driver. */
  publish(subject: Uint8Array, payload: Uint8Array): Promise<void>;
  /** Delivers every message of the bus (subscribers filter above) until closed. */
  subscribe(deliver: (subject: Uint8Array, payload: Uint8Array) => void): Promise<RawSubscription>;
}

/** An open SQL transaction of the engine. */
export interface SqlSession {
  readonly sql: Sql;
  /** Applies the commit inside the SQL transaction; visible to others when that commits. A refusal applies nothing. */
  apply(commit: RawCommit): Promise<RawOutcome>;
  /** Rejects with `OutcomeUnknownError` if the answer to COMMIT was lost and could not be settled. */
  commit(): Promise<void>;
  rollback(): Promise<void>;
}
