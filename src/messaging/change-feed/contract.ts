import type { Duration, KeyPart, KeyRange } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";

/** What became of a key. */
export type FeedChange<V = unknown> =
  | (Place & { readonly value: V; readonly version: string; readonly deleted?: never })
  | (Place & { readonly deleted: true; readonly value?: never; readonly version?: never });

interface Place {
  readonly key: KeyPart[];
  /** Its place in the feed: dense, from 0. */
  readonly offset: number;
  /** When it was captured: the engine's clock in milliseconds. */
  readonly time: number;
}

export interface ChangeFeedOptions {
  /** The keys whose changes are captured, in the namespace of the engine. The same wherever the feed is used. */
  readonly range: KeyRange;
  /** How long changes are kept at least; those that a follower has not seen are kept in any case. 1 s or more. Default: for ever. */
  readonly retention?: Duration;
  /** Time to live of the leases of who captures and who follows: how soon another goes on after a death. 100 ms to 1 day. Default "15s". */
  readonly ttl?: Duration;
  /** Keys whose values may be in memory at one time when capturing begins: a larger range is taken up in segments, and order across keys is then lost. 100 or more. Default 10,000. */
  readonly segment?: number;
}

export interface ReadFeedOptions {
  /** The offset of the first change. Default: the first that is kept; "end": those to come. */
  readonly from?: number | "end";
  /** End when all changes that are there have been read, instead of waiting for more. Default false. */
  readonly untilNow?: boolean;
  readonly signal?: AbortSignal;
}

export interface FollowContext {
  /** Commits together with the follower's position, if the handler returns. */
  readonly tx: Transaction;
  /** Aborted when the follower is closed, or another process may follow. */
  readonly signal: AbortSignal;
}

export type FollowHandler<V> = (changes: readonly FeedChange<V>[], context: FollowContext) => void | Promise<void>;

export interface FollowOptions {
  /** Where a follower of a new name begins. Default: the first change that is kept; "end": those to come. */
  readonly from?: number | "end";
  /** Changes in one call of the handler at most. 1 to 10,000. Default 100. */
  readonly batch?: number;
  /** Its abort closes the follower. */
  readonly signal?: AbortSignal;
}

/** Something that runs in this process until it is closed. */
export interface Running extends AsyncDisposable {
  /** Whether this process is the one that does the work at this moment; others stand by. */
  readonly leading: boolean;
  /** Stops, and lets others go on at once. */
  close(): Promise<void>;
  /** Resolves when it has been closed; rejects if it had to give up. */
  readonly done: Promise<void>;
}

/** Changes of a range of keys as a log: the last state of every key, in commit order per key, each version once. */
export interface ChangeFeed<V = unknown> {
  readonly name: string;
  /**
   * Captures changes, in this process or, if another does, as its stand-by. Without anybody who runs it, changes are not lost, but come when somebody does.
   */
  run(options?: { readonly signal?: AbortSignal }): Running;
  /**
   * The changes from a place on, as they are captured.
   * @throws InvalidStateError changes from there on are not kept any more
   */
  read(options?: ReadFeedOptions): AsyncIterableIterator<FeedChange<V>>;
  /**
   * Hands out the changes in order, to one process at a time for each name, and remembers the position, which commits together with what the handler wrote through `tx`. A handler that throws gets the same changes again, with growing
   * pauses of up to 30 s; one whose transaction met a conflict, at once.
   * @param name 1 to 200 characters
   */
  follow(name: string, handler: FollowHandler<V>, options?: FollowOptions): Running;
  /** The offset of the change that the follower gets next; `undefined`: it has had none. */
  position(name: string, options?: { readonly signal?: AbortSignal }): Promise<number | undefined>;
  /** The offsets of the first change that is kept, and of the next to come. */
  bounds(options?: { readonly signal?: AbortSignal }): Promise<{ readonly first: number; readonly next: number }>;
  /** Forgets the position of a follower that is no more: it would hold back the retention. */
  forget(name: string): Promise<void>;
}
