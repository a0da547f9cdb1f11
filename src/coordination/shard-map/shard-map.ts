import { invalidArgument, type Key, linkSignals } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { patiently } from "../lease/index.ts";
import { hostOf, type MapHost } from "./host.ts";
import { assertSameShards, type Config, type ShardEntry } from "./keys.ts";
import { MapMember, type ShardMember } from "./member.ts";
import {
  type JoinOptions,
  type MapSettings,
  type ShardMapOptions,
  toMapSettings,
  toMemberSettings,
} from "./options.ts";
import { shardOf } from "./shard-of.ts";
import { MapView, type ShardOwner, type ShardView, toOwner } from "./view.ts";

/**
 * A number of shards, spread over the workers that have joined. Each shard has one owner at a time: by the owner's own reckoning as long as its lease can be relied on, and for transactions that it
 * fences without any condition. When workers come, go or die, as few shards move as even loads allow; a living owner finishes with a shard before the next has it.
 */
export interface ShardMap {
  readonly name: string;
  readonly shards: number;
  /**
   * Takes part until it is closed. An engine that is away is waited for.
   * @throws InvalidStateError the map was made with another number of shards
   */
  join(options: JoinOptions): Promise<ShardMember>;
  /** The shard of a key: the same in every process, for ever. */
  shardOf(key: string | Key): number;
  /**
   * The owner of the shard of that key as the store has it at this moment; `undefined`: nobody, or one that is dead.
   * @throws InvalidStateError the map was made with another number of shards
   */
  ownerOf(key: string | Key, options?: { readonly signal?: AbortSignal }): Promise<ShardOwner | undefined>;
  /**
   * A view of the whole distribution that keeps itself up to date: make one and keep it. An engine that is away when it is made is waited for.
   * @throws InvalidStateError the map was made with another number of shards
   */
  view(options?: { readonly signal?: AbortSignal }): Promise<ShardView>;
}

export function createShardMap(engine: Engine, name: string, options: ShardMapOptions = {}): ShardMap {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  return new EngineShardMap(engine, name, toMapSettings(options));
}

class EngineShardMap implements ShardMap {
  readonly name: string;
  readonly shards: number;
  readonly #engine: Engine;
  readonly #settings: MapSettings;

  constructor(engine: Engine, name: string, settings: MapSettings) {
    this.#engine = engine;
    this.name = name;
    this.shards = settings.shards;
    this.#settings = settings;
  }

  get #host(): MapHost {
    return hostOf(this.#engine, this.name);
  }

  async join(options: JoinOptions): Promise<ShardMember> {
    const member = new MapMember(this.#host, this.#settings, toMemberSettings(options));
    await member.begin(options.signal);
    return member;
  }

  shardOf(key: string | Key): number {
    return shardOf(key, this.shards);
  }

  async ownerOf(key: string | Key, options: { readonly signal?: AbortSignal } = {}): Promise<ShardOwner | undefined> {
    const { root, keys, leases } = this.#host;
    const shard = this.shardOf(key);
    const [config, found] = await root.kv.getMany([keys.config, keys.shard(shard)], options);
    assertSameShards(this.name, config?.value as Config | undefined, this.shards);
    const entry = found?.value as ShardEntry | undefined;
    if (!entry?.owner) return undefined;
    // A lease that has ended never comes back, so the second read says that it lasted at the first.
    const lease = await root.kv.get(leases.keyOf(entry.owner.lease), options);
    return lease && toOwner(shard, entry);
  }

  async view(options: { readonly signal?: AbortSignal } = {}): Promise<ShardView> {
    const host = this.#host;
    const { signal } = options;
    host.enter();
    try {
      await host.ready(signal);
      // Once set it never changes, so only its absence may be news of yesterday.
      assertSameShards(this.name, host.state.config ?? (await readConfig(host, signal)), this.shards);
    } catch (error) {
      host.leave();
      throw error;
    }
    return new MapView(host, this.#settings);
  }
}

async function readConfig(
  { root, keys, closing }: MapHost,
  signal: AbortSignal | undefined,
): Promise<Config | undefined> {
  using linked = linkSignals(signal, closing);
  const read = () => root.kv.get<Config>(keys.config, { signal: linked.signal });
  return (await patiently(root, read, linked.signal))?.value;
}
