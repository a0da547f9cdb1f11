import { hash32, type Key } from "../../core/index.ts";

/**
 * The keys in each of the engines, under its namespace.
 *
 * | key | value | |
 * |---|---|---|
 * | `["quorum-lock", "held", name, id]` | `Holder` | this engine's vote for one attempt to take the lock, with the lock's time to live. At most one id under a name |
 * | `["quorum-lock", "token", shard]` | integer | the greatest fencing token that this engine has heard of for any name of the shard. Never decreases |
 * | `["quorum-lock", "void", id]` | true | an attempt that was given up while a commit of it was in doubt: what of it still arrives is refused |
 *
 * An id is never used again, so whoever deletes or renews under its own id cannot touch what belongs to another.
 */
export const quorumKeys = {
  votes: (name: string): Key => ["quorum-lock", "held", name],
  vote: (name: string, id: string): Key => ["quorum-lock", "held", name, id],
  token: (name: string): Key => ["quorum-lock", "token", hash32(name) % shards],
  voided: (id: string): Key => ["quorum-lock", "void", id],
} as const;

/** Who holds it, for people. */
export interface Holder {
  readonly owner: string;
  /** When the attempt began, by the owner's wall clock, milliseconds since the epoch. */
  readonly since: number;
}

/** Names share counters, so that a name that is not used any more leaves nothing behind. */
const shards = 64;
