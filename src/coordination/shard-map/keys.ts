import { InvalidStateError, type Key } from "../../core/index.ts";

/**
 * The keys of one map, under the namespace.
 *
 * | key, after `["shard-map", name]` | value | |
 * |---|---|---|
 * | `"config"` | `Config` | set by the first who joins, never changed |
 * | `"member", id` | `MemberEntry` | who takes part. An id is that of one stay: a worker that lost its lease comes back under another. Deleted by who leaves, or by others once the lease has ended |
 * | `"shard", n` | `ShardEntry` | whose it is. Written only when that changes, so its version stands for the ownership |
 * | `"wanted", n` | `WantedEntry` | whom the owner is asked to hand the shard over to |
 * | `"version"` | integer | one more with each commit that changes owners |
 *
 * Invariants: the epoch of a shard grows by one with each write of its entry. While the lease of an owner lasts, only the owner itself writes the entry; once it has ended, anybody
 * may, under a check that it has. A new owner's member entry and lease are present at the commit that makes it the owner.
 */
export class MapKeys {
  readonly base: Key;

  constructor(namespace: Key, name: string) {
    this.base = [...namespace, "shard-map", name];
  }

  get config(): Key {
    return [...this.base, "config"];
  }

  get version(): Key {
    return [...this.base, "version"];
  }

  get shards(): Key {
    return [...this.base, "shard"];
  }

  member(id: string): Key {
    return [...this.base, "member", id];
  }

  shard(n: number): Key {
    return [...this.base, "shard", n];
  }

  wanted(n: number): Key {
    return [...this.base, "wanted", n];
  }
}

/** @throws InvalidStateError the map has another number of shards than is given */
export function assertSameShards(map: string, config: Config | undefined, given: number): void {
  if (config === undefined || config.shards === given) return;
  throw new InvalidStateError(
    `shard map ${JSON.stringify(map)}: it has ${config.shards} shards, not ${given}; the number cannot be changed`,
    { details: { map, shards: config.shards, given } },
  );
}

export interface Config {
  readonly shards: number;
}

export interface MemberEntry {
  readonly worker: string;
  readonly lease: string;
  readonly weight: number;
  readonly zone?: string;
  /** A stay that was given up while its entry was in doubt: nobody. The only change that an entry ever undergoes. */
  readonly void?: true;
}

/** One who owns a shard or is to own it. */
export interface Party {
  /** Id of the stay. */
  readonly member: string;
  readonly worker: string;
  readonly lease: string;
  readonly zone?: string;
}

export interface ShardEntry {
  /** Absent: nobody's at the moment. */
  readonly owner?: Party;
  /** The fencing token of the ownership: greater than that of every earlier owner of this shard. */
  readonly epoch: number;
}

export interface WantedEntry extends Party {
  /** Of the ownership that is to end. */
  readonly epoch: number;
}
