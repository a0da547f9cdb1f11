/** Caches: in this process's memory, and shared through an engine. */
export { createCache } from "./cache.ts";
export type { Cache, CacheSetOptions, CacheStats, InvalidateOptions } from "./cache-contract.ts";
export type { CacheLoader, CacheOptions, CacheWriter, LocalTierOptions } from "./cache-options.ts";
export type { LocalCache, LocalCacheStats, LocalLoader, LocalSetOptions } from "./local/contract.ts";
export { createLocalCache } from "./local/local-cache.ts";
export type { LocalCacheOptions, RemovalReason } from "./local/local-options.ts";
export type { Eviction } from "./local/policy.ts";
