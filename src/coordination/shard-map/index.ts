/** Shards spread over workers: each with one owner at a time, fenced, moved as little as possible. */

export type { ShardMember } from "./member.ts";
export type { JoinOptions, ShardMapOptions } from "./options.ts";
export type { OnRevoke, OwnedShard } from "./ownership.ts";
export { createShardMap, type ShardMap } from "./shard-map.ts";
export type { ShardOwner, ShardView } from "./view.ts";
