import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../core/index.ts";
import type { Eviction } from "./local/policy.ts";
import { policies } from "./local/policy.ts";

/** What the source has under the key; `undefined` if nothing. Must not be older than the call: a replica that lags undoes invalidations. */
export type CacheLoader<V> = (
  key: string,
  context: { readonly signal: AbortSignal },
) => V | undefined | Promise<V | undefined>;

/** Writes the value to the store of record. */
export type CacheWriter<V> = (
  key: string,
  value: V,
  context: {
    readonly signal: AbortSignal;
    /** The write's own id: the same each time that it is tried. */
    readonly id: string;
    /** Write-behind: grows with each accepted write, and is the same when one is tried again. A writer that refuses lower ones is safe against everything. */
    readonly version: number | undefined;
  },
) => void | Promise<void>;

/** Copies in this process. */
export interface LocalTierOptions {
  /** Copies at most. Needed. */
  readonly maxEntries: number;
  /** Bytes of copies at most, encoded. Default: no bound. */
  readonly maxBytes?: number;
  /**
   * How long a copy is trusted without asking the engine: the bound on what a read may miss of an invalidation elsewhere, whatever happens to the messages. News
   * of invalidations usually arrive within milliseconds. Default "10s".
   */
  readonly maxStale?: Duration;
  /** Default "s3-fifo". */
  readonly eviction?: Eviction;
}

/** The same in all processes that share a cache. */
export interface CacheOptions<V> {
  /** Read-through: what `get` calls if nothing is cached. Default: `get` gives `undefined`. */
  readonly load?: CacheLoader<V>;
  /** How long a load, or a write to the store of record, may take: then its signal aborts, and another process may try. Default "10s". */
  readonly loadTimeout?: Duration;
  /** How long an entry is fresh. Default "5m". */
  readonly ttl?: Duration;
  /** The share of `ttl` by which an entry's is shortened at random at most: 0 to 1. Default 0.1. */
  readonly jitter?: number;
  /** How long, after it was fresh, an entry is served while it is loaded anew. Default 0. */
  readonly staleWhileRevalidate?: Duration;
  /** How long, after it was fresh, an entry is served if loading it anew failed. Default 0. */
  readonly staleIfError?: Duration;
  /** How long `undefined` or `null` from the loader is cached. Default 0: not. */
  readonly negativeTtl?: Duration;
  /** A reader of an entry that has been fresh for this share of its time has it loaded anew in the background: 0 to 1. Default 1: never. */
  readonly refreshAhead?: number;
  /** XFetch's beta: 1 is the paper's optimum, more refreshes earlier, 0 never. Default 0. */
  readonly earlyRefresh?: number;
  /** Refreshes in the background at once, in this process. Further ones are left to later readers. Default 32. */
  readonly maxRefreshes?: number;
  /** The tags of a value: at most 20. */
  readonly tags?: (value: V, key: string) => readonly string[];
  /** Copies in this process. Default: none. */
  readonly local?: LocalTierOptions;
  /** Each read asks the engine: no read misses an invalidation that was acknowledged before it. Local copies serve only while the engine is away. Default false. */
  readonly coherent?: boolean;
  /**
   * What `get` does while the engine is away: `load` without caching; a local copy however old (`stale`), else load; or `throw`. Default "load" with a loader, else
   * "throw".
   */
  readonly onUnavailable?: "load" | "stale" | "throw";
  /** How long `get` waits for one answer of the engine before it takes it to be away. Default "2s". */
  readonly engineTimeout?: Duration;
  /** The store of record for `set`. */
  readonly store?: CacheWriter<V>;
  /** `through`: `set` writes to the store of record, then to the cache. `behind`: `set` is done when the engine has it; a drainer writes later. Default "through". */
  readonly write?: "through" | "behind";
  /** Write-behind: accepted writes that wait at most; then `set` fails with `OVERLOADED`. Default 10,000. */
  readonly maxBacklog?: number;
  /** Write-behind: whether this process may drain. Default true. */
  readonly drain?: boolean;
  /** Write-behind: keys written at once. Default 8. */
  readonly drainConcurrency?: number;
}

/** The options, checked and in milliseconds. */
export interface CacheSettings<V> {
  readonly load: CacheLoader<V> | undefined;
  readonly loadTimeout: number;
  readonly ttl: number;
  readonly jitter: number;
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  readonly negativeTtl: number;
  readonly refreshAhead: number;
  readonly earlyRefresh: number;
  readonly maxRefreshes: number;
  readonly tags: ((value: V, key: string) => readonly string[]) | undefined;
  readonly local:
    | {
        readonly maxEntries: number;
        readonly maxBytes: number | undefined;
        readonly maxStale: number;
        readonly eviction: Eviction;
      }
    | undefined;
  readonly coherent: boolean;
  readonly onUnavailable: "load" | "stale" | "throw";
  readonly engineTimeout: number;
  readonly store: CacheWriter<V> | undefined;
  readonly write: "through" | "behind";
  readonly maxBacklog: number;
  readonly drain: boolean;
  readonly drainConcurrency: number;
  /** How long a claim holds. */
  readonly claimLife: number;
  /** Longer than any entry lives and any load takes: how long a tag's id is kept. */
  readonly tagLife: number;
}

const names: readonly string[] = (
  "load loadTimeout ttl jitter staleWhileRevalidate staleIfError negativeTtl refreshAhead earlyRefresh maxRefreshes tags local " +
  "coherent onUnavailable engineTimeout store write maxBacklog drain drainConcurrency"
).split(" ");
const localNames: readonly string[] = ["maxEntries", "maxBytes", "maxStale", "eviction"];

/** A year: what a cache keeps longer is no cache. Tags need a bound. */
const longest = 366 * 86_400_000;

/** @throws InvalidArgumentError naming the option */
export function checkCacheOptions<V>(options: CacheOptions<V>): CacheSettings<V> {
  refuseUnknown(options, names);
  const { load, store, tags, write = "through" } = options;
  for (const [name, given] of Object.entries({ load, store, tags })) {
    if (given !== undefined && typeof given !== "function")
      throw invalidArgument(`options.${name}`, given, "a function");
  }
  const ttl = duration("ttl", options.ttl ?? "5m", 1);
  const staleWhileRevalidate = duration("staleWhileRevalidate", options.staleWhileRevalidate ?? 0);
  const staleIfError = duration("staleIfError", options.staleIfError ?? 0);
  const negativeTtl = duration("negativeTtl", options.negativeTtl ?? 0);
  const onUnavailable = options.onUnavailable ?? (load === undefined ? "throw" : "load");
  oneOf("onUnavailable", onUnavailable, ["load", "stale", "throw"]);
  oneOf("write", write, ["through", "behind"]);
  if (onUnavailable === "load" && load === undefined) {
    throw invalidArgument("options.onUnavailable", onUnavailable, '"throw", or "stale" with local: there is no loader');
  }
  if (options.write !== undefined && store === undefined) {
    throw invalidArgument("options.store", store, "a function, because write is given");
  }
  const needsLoader = { staleWhileRevalidate, staleIfError, negativeTtl, earlyRefresh: options.earlyRefresh ?? 0 };
  for (const [name, given] of Object.entries(needsLoader)) {
    if (given !== 0 && load === undefined)
      throw invalidArgument(`options.${name}`, given, "0, because there is no loader");
  }
  const loadTimeout = duration("loadTimeout", options.loadTimeout ?? "10s", 1);
  const engineTimeout = duration("engineTimeout", options.engineTimeout ?? "2s", 1);
  // A loader, whose time begins when the engine has answered, is stopped a good while before others may take its place.
  const claimLife = loadTimeout * 1.25 + engineTimeout + 100;
  return {
    load,
    loadTimeout,
    claimLife,
    ttl,
    jitter: share("jitter", options.jitter ?? 0.1),
    staleWhileRevalidate,
    staleIfError,
    negativeTtl,
    refreshAhead: share("refreshAhead", options.refreshAhead ?? 1),
    earlyRefresh: number("earlyRefresh", options.earlyRefresh ?? 0, 0, 100),
    maxRefreshes: whole("maxRefreshes", options.maxRefreshes ?? 32, 1),
    tags,
    local: options.local && checkLocalTier(options.local),
    coherent: flag("coherent", options.coherent ?? false),
    onUnavailable,
    engineTimeout,
    store,
    write,
    maxBacklog: whole("maxBacklog", options.maxBacklog ?? 10_000, 1),
    drain: flag("drain", options.drain ?? true),
    drainConcurrency: whole("drainConcurrency", options.drainConcurrency ?? 8, 1),
    tagLife: 2 * (Math.max(ttl, negativeTtl) + Math.max(staleWhileRevalidate, staleIfError) + claimLife),
  };
}

function checkLocalTier(options: LocalTierOptions): NonNullable<CacheSettings<never>["local"]> {
  refuseUnknown(options, localNames, "options.local");
  const { maxBytes, eviction = "s3-fifo" } = options;
  oneOf("local.eviction", eviction, Object.keys(policies));
  if (maxBytes !== undefined) number("local.maxBytes", maxBytes, 1, Number.MAX_SAFE_INTEGER);
  return {
    maxEntries: whole("local.maxEntries", options.maxEntries, 1),
    maxBytes,
    maxStale: duration("local.maxStale", options.maxStale ?? "10s"),
    eviction,
  };
}

function duration(name: string, given: Duration, min = 0): number {
  return toMilliseconds(given, `options.${name}`, { min, max: longest });
}

function share(name: string, given: number): number {
  return number(name, given, 0, 1);
}

function number(name: string, given: number, min: number, max: number): number {
  if (given >= min && given <= max) return given;
  throw invalidArgument(`options.${name}`, given, `a number from ${min} to ${max}`);
}

function whole(name: string, given: number, min: number): number {
  if (Number.isSafeInteger(given) && given >= min) return given;
  throw invalidArgument(`options.${name}`, given, `a whole number of ${min} or more`);
}

function flag(name: string, given: boolean): boolean {
  if (typeof given === "boolean") return given;
  throw invalidArgument(`options.${name}`, given, "true or false");
}

function oneOf(name: string, given: string, allowed: readonly string[]): void {
  if (!allowed.includes(given)) throw invalidArgument(`options.${name}`, given, allowed.join(", "));
}
