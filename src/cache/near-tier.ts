import { encodeValue } from "../core/index.ts";
import type { Engine, Version } from "../engine/index.ts";
import type { CacheSettings } from "./cache-options.ts";
import { type Layout, shardOfKey, shardOfTag } from "./layout.ts";
import type { LocalCache } from "./local/contract.ts";
import { createLocalCache } from "./local/local-cache.ts";
import { News } from "./news.ts";
import { type Freshness, freshnessOf, type StoredEntry } from "./stored-entry.ts";

/** A copy of an entry in this process. Instants are of the monotonic clock. */
interface Copy<V> {
  readonly entry: StoredEntry<V>;
  readonly version: Version | undefined;
  /** Of the copy's key and tags. */
  readonly shards: readonly number[];
  /** What news there were before the engine was asked. */
  readonly heard: number;
  /** When the engine was asked: the value was not older than this. */
  readonly asked: number;
  /** What the engine said was left of its life. */
  readonly remaining: number;
}

/** The moment before a question to the engine: what is kept of the answer is only as good as this. */
export interface Moment {
  readonly heard: number;
  readonly asked: number;
}

export interface Near<V> extends Freshness {
  readonly entry: StoredEntry<V>;
  readonly version: Version | undefined;
}

/** Copies in this process, each with what is needed to know how far it may be trusted. */
export class NearTier<V> {
  readonly #engine: Engine;
  readonly #settings: CacheSettings<V>;
  readonly #maxStale: number;
  readonly #copies: LocalCache<string, Copy<V>>;
  readonly #news: News;

  constructor(
    engine: Engine,
    layout: Layout,
    settings: CacheSettings<V>,
    local: NonNullable<CacheSettings<V>["local"]>,
  ) {
    this.#engine = engine;
    this.#settings = settings;
    this.#maxStale = local.maxStale;
    this.#copies = createLocalCache<string, Copy<V>>({
      maxEntries: local.maxEntries,
      eviction: local.eviction,
      runtime: engine.runtime,
      clockResolution: 0,
      ...(local.maxBytes !== undefined && {
        maxBytes: local.maxBytes,
        sizeOf: ({ entry }) => encodeValue(entry).length,
      }),
    });
    this.#news = new News(engine, layout);
  }

  get size(): number {
    return this.#copies.size;
  }

  moment(): Moment {
    return { heard: this.#news.now, asked: this.#engine.runtime.clock.monotonic() };
  }

  /** A copy that no invalidation acknowledged more than `maxStale` ago has touched. */
  trusted(key: string): Near<V> | undefined {
    const copy = this.#copies.get(key);
    if (copy === undefined) return undefined;
    const age = this.#engine.runtime.clock.monotonic() - copy.asked;
    if (age >= this.#maxStale || !this.#news.isQuietSince(copy.heard, copy.shards)) return undefined;
    return this.#judge(copy);
  }

  /** A copy, whatever may have happened to the entry. */
  any(key: string): Near<V> | undefined {
    const copy = this.#copies.get(key);
    return copy && this.#judge(copy);
  }

  keep(
    key: string,
    { entry, version, remaining }: Pick<Copy<V>, "entry" | "version" | "remaining">,
    { heard, asked }: Moment,
  ): void {
    const present = this.#copies.peek(key);
    // An answer that was asked for earlier may arrive later.
    if (present !== undefined && present.asked > asked) return;
    const shards = [shardOfKey(key), ...entry.tags.map(([tag]) => shardOfTag(tag))];
    this.#copies.set(key, { entry, version, shards, heard, asked, remaining }, { ttl: Math.max(1, remaining) });
  }

  /** The engine says that there is nothing. */
  drop(key: string): void {
    this.#copies.delete(key);
  }

  /** An invalidation of our own. Copies for hard times go too. */
  invalidated(key: string): void {
    this.#news.note(shardOfKey(key));
    this.#copies.delete(key);
  }

  invalidatedTag(tag: string): void {
    this.#news.note(shardOfTag(tag));
  }

  cleared(): void {
    this.#news.noteAll();
    this.#copies.clear();
  }

  async close(): Promise<void> {
    this.#copies.clear();
    await this.#news.close();
  }

  #judge({ entry, version, asked, remaining }: Copy<V>): Near<V> {
    const age = this.#engine.runtime.clock.monotonic() - asked;
    return { entry, version, ...freshnessOf(entry, remaining - age, this.#settings) };
  }
}
