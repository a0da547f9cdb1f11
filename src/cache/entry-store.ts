import { isAshlarError, type Key, toBase64Url, withDeadline } from "../core/index.ts";
import type { Check, Engine, Mutation, Transaction, Version } from "../engine/index.ts";
import type { CacheSettings } from "./cache-options.ts";
import { isAway } from "./engine-away.ts";
import { type Layout, shardOfKey, shardOfTag } from "./layout.ts";
import { type Freshness, freshnessOf, type StoredEntry } from "./stored-entry.ts";

/** Write-behind: an accepted value that the store of record may not have yet. While it is there it is the truth, and nothing is loaded. */
export interface PendingWrite<V> {
  readonly value: V;
  /** The write's id. */
  readonly id: string;
}

/** One look at what the engine has for a key, at one instant. */
export interface View<V> {
  /** The entry, unless it was cleared or a tag of it invalidated. */
  readonly held: (Freshness & { readonly entry: StoredEntry<V>; readonly remaining: number }) | undefined;
  /** Of the entry, held or not. */
  readonly entryVersion: Version | undefined;
  readonly generation: TagMark;
  readonly claim: { readonly version: Version; readonly ttl: number } | undefined;
  readonly pending: PendingWrite<V> | undefined;
}

/** The id and version of a generation or tag; "" and `undefined` if it was never invalidated. */
export interface TagMark {
  readonly id: string;
  readonly version: Version | undefined;
}

/** The right to load or write a key. Invariant: who stores under it checks that it is still there. */
export interface Claim {
  readonly version: Version;
}

/** Versions of the shards, captured before a load whose tags are not known. */
export type ShardVersions = ReadonlyMap<number, Version>;

/** What a loaded value is stored with. */
export interface Fences {
  readonly claim: Claim;
  readonly generation: TagMark;
  readonly tags: ReadonlyMap<string, TagMark>;
  /** For tags that were not known before the load. */
  readonly shards: ShardVersions | undefined;
}

/** What became of a loaded value. */
export type Stored =
  | { readonly outcome: "stored"; readonly version: Version }
  | { readonly outcome: "emptied" | "fenced" | "tag-moved" | "too-large" | "unknown" };

/** The entries, claims and tags of one cache in the engine. */
export class EntryStore<V> {
  readonly #engine: Engine;
  readonly #layout: Layout;
  readonly #settings: CacheSettings<V>;

  constructor(engine: Engine, layout: Layout, settings: CacheSettings<V>) {
    this.#engine = engine;
    this.#layout = layout;
    this.#settings = settings;
  }

  /**
   * The entry is judged at the instant of its read: its tags are read later, and since their ids never come back, those that are the same then were so before.
   * @throws UnavailableError, TimeoutError … the engine is away
   */
  async look(key: string, signal: AbortSignal | undefined): Promise<View<V>> {
    using scope = this.#patience(signal);
    const { entry, generation, claim, pending } = this.#layout;
    const options = { signal: scope.signal };
    const keys = [entry(key), generation, claim(key), pending(key)];
    const [found, mark, claimed, waiting] = await this.#engine.kv.getMany(keys, options);
    const held = found?.value as StoredEntry<V> | undefined;
    const now: TagMark = { id: (mark?.value as string | undefined) ?? "", version: mark?.version };
    const remaining = found?.ttl ?? held?.life ?? 0;
    const valid = held !== undefined && held.generation === now.id && (await this.#tagsStand(held, scope.signal));
    return {
      held: valid ? { entry: held, remaining, ...freshnessOf(held, remaining, this.#settings) } : undefined,
      entryVersion: found?.version,
      generation: now,
      claim: claimed && { version: claimed.version, ttl: claimed.ttl ?? 0 },
      pending: waiting?.value as PendingWrite<V> | undefined,
    };
  }

  async marks(tags: readonly string[], signal?: AbortSignal): Promise<Map<string, TagMark>> {
    if (tags.length === 0) return new Map();
    using scope = this.#patience(signal);
    const entries = await this.#engine.kv.getMany<string>(tags.map(this.#layout.tag), { signal: scope.signal });
    return new Map(tags.map((tag, i) => [tag, { id: entries[i]?.value ?? "", version: entries[i]?.version }]));
  }

  async shardVersions(signal: AbortSignal): Promise<ShardVersions> {
    using scope = this.#patience(signal);
    const versions = new Map<number, Version>();
    for await (const { key, version } of this.#engine.kv.list(this.#layout.allNews, { signal: scope.signal })) {
      versions.set(Number(key.at(-1)), version);
    }
    return versions;
  }

  /** The claim, if nobody has it and the entry is as it was seen. */
  async claim(key: string, seen: View<V>, signal: AbortSignal): Promise<Claim | undefined> {
    using scope = this.#patience(signal);
    const { claim, entry } = this.#layout;
    const checks = [
      { key: claim(key), version: undefined },
      { key: entry(key), version: seen.entryVersion },
      { key: this.#layout.pending(key), version: undefined },
    ];
    const id = this.newId();
    const mutations = [{ set: claim(key), value: id, ttl: this.#settings.claimLife }];
    try {
      const result = await this.#engine.kv.tryCommit({ checks, mutations }, { signal: scope.signal });
      return result.ok ? { version: result.version } : undefined;
    } catch (error) {
      // It may be there, and then others would wait for nobody.
      if (!isAshlarError(error) || !error.definite) void this.#withdraw(key, id).catch(() => {});
      throw error;
    }
  }

  /** Gives the claim back; without effect if it is no longer ours. */
  async release(key: string, claim: Claim): Promise<void> {
    using scope = this.#patience(undefined);
    const name = this.#layout.claim(key);
    const batch = { checks: [{ key: name, version: claim.version }], mutations: [{ delete: name }] };
    await this.#engine.kv.tryCommit(batch, { signal: scope.signal });
  }

  /** Stores what was loaded under the claim (without an entry: takes away what there was), and gives the claim back: both or neither. */
  async storeLoaded(key: string, entry: StoredEntry<V> | undefined, fences: Fences): Promise<Stored> {
    const { claim, generation, news, tag } = this.#layout;
    const checks: Check[] = [
      { key: claim(key), version: fences.claim.version },
      { key: generation, version: fences.generation.version },
    ];
    for (const [name, mark] of fences.tags) checks.push({ key: tag(name), version: mark.version });
    if (fences.shards !== undefined) {
      for (const shard of new Set([...fences.tags.keys()].map(shardOfTag))) {
        checks.push({ key: news(shard), version: fences.shards.get(shard) });
      }
    }
    const at = this.#layout.entry(key);
    const change: Mutation = entry === undefined ? { delete: at } : { set: at, value: entry, ttl: entry.life };
    const mutations: Mutation[] = [change, { delete: claim(key) }];
    try {
      using scope = this.#patience(undefined);
      const result = await this.#engine.kv.tryCommit({ checks, mutations }, { signal: scope.signal });
      if (result.ok) return { outcome: "stored", version: result.version };
      const { refusal } = result;
      return { outcome: refusal.reason === "check" && refusal.check >= 2 ? "tag-moved" : "fenced" };
    } catch (error) {
      if (isAshlarError(error, "LIMIT")) return { outcome: "too-large" };
      if (isAway(error)) return { outcome: "unknown" };
      throw error;
    }
  }

  /** The tags' and the generation's ids as the transaction sees them; they are part of its checks. */
  async idsIn(tx: Transaction, tags: readonly string[]): Promise<Pick<StoredEntry<V>, "generation" | "tags">> {
    const [generation, ...ids] = await tx.getMany<string>([this.#layout.generation, ...tags.map(this.#layout.tag)]);
    return { generation: generation ?? "", tags: tags.map((tag, i) => [tag, ids[i] ?? ""] as const) };
  }

  write(tx: Transaction, key: string, entry: StoredEntry<V>): void {
    tx.set(this.#layout.entry(key), entry, { ttl: entry.life });
    tx.delete(this.#layout.claim(key));
    this.#tell(tx, shardOfKey(key));
  }

  /** Takes the entry away, and the claim: what is being loaded is refused when it comes to be stored. */
  invalidate(tx: Transaction, key: string): void {
    tx.delete(this.#layout.entry(key));
    tx.delete(this.#layout.claim(key));
    this.#tell(tx, shardOfKey(key));
  }

  /** Takes the entry away and claims the key for a write, whoever had it. */
  seize(tx: Transaction, key: string, id: string): void {
    tx.delete(this.#layout.entry(key));
    tx.set(this.#layout.claim(key), id, { ttl: this.#settings.claimLife });
    this.#tell(tx, shardOfKey(key));
  }

  async hasClaim(tx: Transaction, key: string, id: string): Promise<boolean> {
    return (await tx.get(this.#layout.claim(key))) === id;
  }

  invalidateTag(tx: Transaction, tag: string): void {
    tx.set(this.#layout.tag(tag), this.newId(), { ttl: this.#settings.tagLife });
    this.#tell(tx, shardOfTag(tag));
  }

  clear(tx: Transaction): void {
    tx.set(this.#layout.generation, this.newId());
  }

  /** Never repeated. */
  newId(): string {
    return toBase64Url(this.#engine.runtime.random.bytes(12));
  }

  claimKey(key: string): Key {
    return this.#layout.claim(key);
  }

  #tell(tx: Transaction, shard: number): void {
    tx.set(this.#layout.news(shard), this.newId());
  }

  async #withdraw(key: string, id: string): Promise<void> {
    using scope = this.#patience(undefined);
    const entry = await this.#engine.kv.get<string>(this.#layout.claim(key), { signal: scope.signal });
    if (entry?.value === id) await this.release(key, entry);
  }

  async #tagsStand(entry: StoredEntry<V>, signal: AbortSignal): Promise<boolean> {
    if (entry.tags.length === 0) return true;
    const keys = entry.tags.map(([tag]) => this.#layout.tag(tag));
    const found = await this.#engine.kv.getMany<string>(keys, { signal });
    return entry.tags.every(([, id], i) => (found[i]?.value ?? "") === id);
  }

  #patience(signal: AbortSignal | undefined) {
    const { engineTimeout } = this.#settings;
    return withDeadline(this.#engine.runtime, { signal, deadlineMs: engineTimeout, name: "the cache's engine" });
  }
}
