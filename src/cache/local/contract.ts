import type { Duration } from "../../core/index.ts";

export interface LocalSetOptions {
  /** Instead of the store's: how long the entry lives from now. */
  readonly ttl?: Duration;
  /** Instead of the store's: how long it lives after it was last read. */
  readonly idle?: Duration;
}

export interface LocalCacheStats {
  /** Entries now. Those that expired and were not met yet count. */
  readonly entries: number;
  /** Their size; 0 without `maxBytes`. */
  readonly bytes: number;
  /** Their cost; 0 without `maxCost`. */
  readonly cost: number;
  readonly hits: number;
  readonly misses: number;
  /** Values stored. */
  readonly sets: number;
  readonly evictions: number;
  readonly expirations: number;
  /** Values that were larger than the whole cache, and not stored. */
  readonly refused: number;
  /** Loads begun by `getOrLoad`. */
  readonly loads: number;
  readonly loadFailures: number;
}

export type LocalLoader<K, V> = (
  key: K,
  context: { readonly signal: AbortSignal },
) => V | undefined | Promise<V | undefined>;

/** Entries in this process's memory, within limits. All but `getOrLoad` is synchronous. Keys are compared as `Map` does. */
export interface LocalCache<K, V> extends Iterable<[K, V]> {
  /** The value, if there is one that has not expired. Counts as a use. */
  get(key: K): V | undefined;
  /** Like `get`, without counting as a use or in the statistics. */
  peek(key: K): V | undefined;
  has(key: K): boolean;
  /**
   * Stores the value and evicts what it needs room from. `false` if it is larger than the whole cache: then it is not stored, and what the key held is gone.
   * @throws InvalidArgumentError the value is `undefined`, or a weight or lifetime makes no sense
   */
  set(key: K, value: V, options?: LocalSetOptions): boolean;
  /** Whether there was an entry. */
  delete(key: K): boolean;
  clear(): void;
  /**
   * The value, or what the loader gives, which is stored unless it is `undefined`. Calls for the same key share one load; its signal aborts when all of
   * them have gone. A `set`, `delete` or `clear` during the load wins: what was loaded goes to those who wait and is not stored. A failure reaches
   * all who wait and is not kept.
   */
  getOrLoad(
    key: K,
    load: LocalLoader<K, V>,
    options?: LocalSetOptions & { readonly signal?: AbortSignal },
  ): Promise<V | undefined>;
  /** Milliseconds that the entry has left: `Infinity` if it does not expire, `undefined` if there is none. */
  remaining(key: K): number | undefined;
  /** Removes all that has expired, and says how many. Not needed for correctness: expired entries are never seen, and every eighth `set` looks at sixteen. */
  sweep(): number;
  /** Entries, those included that expired and were not met yet. */
  readonly size: number;
  stats(): LocalCacheStats;
  /** Entries that have not expired, in no particular order; the cache may change meanwhile. Does not count as a use. */
  entries(): IterableIterator<[K, V]>;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
}
