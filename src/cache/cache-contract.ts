import type { Duration } from "../core/index.ts";
import type { Transaction } from "../engine/index.ts";
import type { Counters } from "./counters.ts";

export interface CacheSetOptions {
  /** Instead of the cache's `ttl`, at most that. */
  readonly ttl?: Duration;
  /** Instead of what the option `tags` gives. */
  readonly tags?: readonly string[];
  /** Takes effect with this transaction. Not with write-through, whose store is outside of it. */
  readonly tx?: Transaction;
  readonly signal?: AbortSignal;
}

export interface InvalidateOptions {
  /** Takes effect with this transaction. This process hears of it as others do: through the engine. */
  readonly tx?: Transaction;
  readonly signal?: AbortSignal;
}

export interface CacheStats extends Readonly<Counters> {
  /** Copies in this process. */
  readonly localEntries: number;
}

/** A cache on an engine, shared by all processes that make it under the same name, with copies in each if asked for. */
export interface Cache<V> extends AsyncDisposable {
  readonly name: string;
  /**
   * The value: a copy of this process, what the engine has, or what the loader gives. `undefined` if there is none. An abort leaves at once; a load that others wait for
   * goes on.
   * @throws what the loader threw
   * @throws UnavailableError, TimeoutError the engine is away, and `onUnavailable` is "throw"
   */
  get(key: string, options?: { readonly signal?: AbortSignal }): Promise<V | undefined>;
  /** Each like `get`, in the order asked; not one snapshot. */
  getMany(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<(V | undefined)[]>;
  /**
   * Puts a value into the cache; with `store`, writes it to the store of record as the option `write` says. Loads under way for the key are not stored. Once it has resolved,
   * reads see it as they see an invalidation.
   * @throws LimitError the engine has no room for a value of this size; nothing changed (write-through: the store of record has it, the cache nothing)
   * @throws OverloadedError write-behind: too many accepted writes wait
   * @throws OutcomeUnknownError it may have been done; doing it again does no harm
   */
  set(key: string, value: V, options?: CacheSetOptions): Promise<void>;
  /** Whoever reads afterwards does not see what was cached before. What is being loaded now is not stored. */
  invalidate(key: string, options?: InvalidateOptions): Promise<void>;
  /** Likewise for all entries with the tag, however many: one small commit. */
  invalidateTag(tag: string, options?: InvalidateOptions): Promise<void>;
  /** Likewise for all entries. They take up room in the engine until they expire. */
  clear(options?: InvalidateOptions): Promise<void>;
  /** Write-behind: resolves when all writes accepted before the call have reached the store of record. Otherwise at once. */
  flush(options?: { readonly signal?: AbortSignal }): Promise<void>;
  stats(): CacheStats;
  /** Aborts loads and refreshes, stops draining, and leaves what is in the engine as it is. Accepted writes wait there for another process. Harmless when repeated. */
  close(): Promise<void>;
}
