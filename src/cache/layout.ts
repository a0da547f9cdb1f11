import type { Key, KeyRange } from "../core/index.ts";
import { hashKey } from "./local/key-hash.ts";

/** How many keys tell of invalidations. More: fewer entries suspected for another's sake; fewer: less to watch. The same in all processes. */
export const newsShards = 64;

/**
 * Where a cache's things lie, under the engine's namespace:
 *
 * | key | value | what |
 * |---|---|---|
 * | "cache", name, "entry", key | `StoredEntry`, expires | what is cached |
 * | "cache", name, "claim", key | an id, expires | whoever loads or writes the key, and the fence for what it loads |
 * | "cache", name, "tag", tag | an id, expires after any entry would | changes with each invalidation of the tag |
 * | "cache", name, "news", -1 | an id | the generation: changes with each `clear` |
 * | "cache", name, "news", 0 … 63 | an id | changes with each invalidation of a key or tag of the shard |
 * | "cache", name, "pending", key | `PendingWrite` | write-behind: the last accepted value that the store of record may not have |
 * | "cache", name, "backlog" | integer | write-behind: accepted and not yet applied |
 * | "cache", name, "position" | offset | write-behind: records below it are applied |
 * | "cache", name, … | a lock, "drain" | write-behind: held by the process that drains |
 * | topic "cache", name, "writes" | `WriteRecord` | write-behind: accepted writes in order |
 */
export interface Layout {
  /** What all keys begin with. */
  readonly root: Key;
  entry(key: string): Key;
  claim(key: string): Key;
  tag(tag: string): Key;
  readonly generation: Key;
  news(shard: number): Key;
  /** The generation and all shards. */
  readonly allNews: KeyRange;
  pending(key: string): Key;
  readonly backlog: Key;
  readonly position: Key;
  readonly writes: Key;
}

/** The shard that stands for the generation. */
export const generationShard = -1;

export function createLayout(name: string): Layout {
  const root = ["cache", name] as const;
  return {
    root,
    entry: (key) => [...root, "entry", key],
    claim: (key) => [...root, "claim", key],
    tag: (tag) => [...root, "tag", tag],
    generation: [...root, "news", generationShard],
    news: (shard) => [...root, "news", shard],
    allNews: { prefix: [...root, "news"] },
    pending: (key) => [...root, "pending", key],
    backlog: [...root, "backlog"],
    position: [...root, "position"],
    writes: [...root, "writes"],
  };
}

export function shardOfKey(key: string): number {
  return hashKey(key) % newsShards;
}

export function shardOfTag(tag: string): number {
  return hashKey(`tag/${tag}`) % newsShards;
}
