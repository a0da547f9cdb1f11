import { channel } from "node:diagnostics_channel";

/** What can be listened to with `node:diagnostics_channel`. */
export const shardMapChannels = {
  /** `{ map, worker, member }` */
  joined: channel("ashlar:shard-map:joined"),
  /** `{ map, worker, member, reason }`: left, or lost its lease */
  left: channel("ashlar:shard-map:left"),
  /** `{ map, worker, shard, epoch }`: this process owns it from now on */
  gained: channel("ashlar:shard-map:gained"),
  /** `{ map, worker, shard, epoch, reason: "handed-over" | "lost" }`: this process does not own it any more */
  dropped: channel("ashlar:shard-map:dropped"),
  /** `{ map, worker, shard, error }`: `onRevoke` threw; the shard is handed over all the same */
  revokeFailed: channel("ashlar:shard-map:revoke-failed"),
  /** `{ map, assigned, asked }`: this process has changed the distribution */
  rebalanced: channel("ashlar:shard-map:rebalanced"),
} as const;
