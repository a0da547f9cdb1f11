import type { Change, Version } from "../../engine/index.ts";
import type { Config, MemberEntry, ShardEntry, WantedEntry } from "./keys.ts";

export interface Seen<V> {
  readonly value: V;
  readonly version: Version;
}

/** The map as the feed has shown it: a state that existed. */
export class MapState {
  readonly members = new Map<string, Seen<MemberEntry>>();
  readonly shards = new Map<number, Seen<ShardEntry>>();
  readonly wanted = new Map<number, Seen<WantedEntry>>();
  config: Config | undefined;
  version = 0;

  clear(): void {
    this.members.clear();
    this.shards.clear();
    this.wanted.clear();
    this.config = undefined;
    this.version = 0;
  }

  /** @param depth how many parts the keys of the map begin with */
  apply(changes: readonly Change[], depth: number): void {
    for (const change of changes) {
      const [kind, id] = change.key.slice(depth);
      if (kind === "member") put(this.members, id as string, change as Change<MemberEntry>);
      else if (kind === "shard") put(this.shards, id as number, change as Change<ShardEntry>);
      else if (kind === "wanted") put(this.wanted, id as number, change as Change<WantedEntry>);
      else if (kind === "config") this.config = change.deleted ? undefined : (change.value as Config);
      else if (kind === "version") this.version = change.deleted ? 0 : (change.value as number);
    }
  }

  /** The leases that it names. */
  get leases(): Set<string> {
    const leases = new Set<string>();
    for (const { value } of this.members.values()) if (!value.void) leases.add(value.lease);
    for (const { value } of this.shards.values()) if (value.owner) leases.add(value.owner.lease);
    return leases;
  }
}

function put<K, V>(map: Map<K, Seen<V>>, id: K, change: Change<V>): void {
  if (change.deleted) map.delete(id);
  else map.set(id, { value: change.value, version: change.version });
}
