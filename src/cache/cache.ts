import { ClosedError, createCloser, invalidArgument, throwIfAborted } from "../core/index.ts";
import type { Engine, Version } from "../engine/index.ts";
import type { Cache, CacheSetOptions, CacheStats, InvalidateOptions } from "./cache-contract.ts";
import { type CacheOptions, type CacheSettings, checkCacheOptions } from "./cache-options.ts";
import { channels } from "./channels.ts";
import { type Counters, createCounters } from "./counters.ts";
import { isAway } from "./engine-away.ts";
import { EntryStore, type View } from "./entry-store.ts";
import { type Flight, Flights } from "./flights.ts";
import { createLayout } from "./layout.ts";
import { type Loaded, LoaderFailure, Loads } from "./loads.ts";
import { NearTier } from "./near-tier.ts";
import { wantsRefresh } from "./stored-entry.ts";
import { checkName } from "./tags.ts";
import { WriteBehind } from "./write-behind.ts";
import { Writes } from "./writes.ts";

/**
 * A cache on an engine.
 * @param name which cache: processes with the same engine, namespace and name share it, and must give the same options
 * @throws InvalidArgumentError an option makes no sense
 */
export function createCache<V>(engine: Engine, name: string, options: CacheOptions<V> = {}): Cache<V> {
  checkName("name", name);
  return new EngineCache<V>(engine, name, checkCacheOptions(options));
}

/** Shared loads that a caller tries to be part of before it loads for itself. */
const sharedAttempts = 3;
const readsAtOnce = 100;

class EngineCache<V> implements Cache<V> {
  readonly name: string;
  readonly #engine: Engine;
  readonly #settings: CacheSettings<V>;
  readonly #store: EntryStore<V>;
  readonly #near: NearTier<V> | undefined;
  readonly #loads: Loads<V>;
  readonly #writes: Writes<V>;
  readonly #behind: WriteBehind<V> | undefined;
  readonly #shared = new Flights<string, Loaded<V>>();
  /** Loads without the engine. */
  readonly #direct = new Flights<string, V | undefined>();
  readonly #refreshing = new Set<Promise<void>>();
  readonly #refreshed = new Set<string>();
  readonly #counters: Counters = createCounters();
  readonly #closer = createCloser(() => this.#end(), "the cache");

  constructor(engine: Engine, name: string, settings: CacheSettings<V>) {
    this.name = name;
    this.#engine = engine;
    this.#settings = settings;
    const layout = createLayout(name);
    const store = new EntryStore<V>(engine, layout, settings);
    const counters = this.#counters;
    this.#store = store;
    if (settings.local) this.#near = new NearTier<V>(engine, layout, settings, settings.local);
    const parts = { engine, name, layout, settings, store, counters };
    this.#loads = new Loads<V>({ ...parts, near: this.#near });
    if (settings.store !== undefined && settings.write === "behind") {
      this.#behind = new WriteBehind<V>({ ...parts, writer: settings.store });
    }
    this.#writes = new Writes<V>({ ...parts, behind: this.#behind });
  }

  async get(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<V | undefined> {
    this.#closer.assertOpen();
    checkName("key", key);
    const { signal } = options;
    throwIfAborted(signal);
    const copy = this.#settings.coherent ? undefined : this.#near?.trusted(key);
    if (copy !== undefined && (copy.freshFor > 0 || copy.staleFor > 0)) {
      if (copy.freshFor > 0) this.#counters.localHits++;
      else this.#counters.staleServed++;
      if (copy.freshFor <= 0 || wantsRefresh(copy.entry, copy.freshFor, this.#settings, this.#engine.runtime)) {
        this.#refresh(key, copy.version);
      }
      return copy.entry.value;
    }
    return this.#throughEngine(key, signal);
  }

  async getMany(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<(V | undefined)[]> {
    if (!Array.isArray(keys)) throw invalidArgument("keys", keys, "an array of keys");
    const values: (V | undefined)[] = [];
    for (let from = 0; from < keys.length; from += readsAtOnce) {
      const some = keys.slice(from, from + readsAtOnce);
      values.push(...(await Promise.all(some.map((key) => this.get(key, options)))));
    }
    return values;
  }

  async set(key: string, value: V, options: CacheSetOptions = {}): Promise<void> {
    this.#closer.assertOpen();
    checkName("key", key);
    if (value === undefined) throw invalidArgument("value", value, "anything but undefined; invalidate removes");
    await this.#changing(
      () => this.#writes.set(key, value, options),
      () => this.#forget(key),
    );
    this.#counters.sets++;
  }

  async invalidate(key: string, options: InvalidateOptions = {}): Promise<void> {
    this.#closer.assertOpen();
    checkName("key", key);
    await this.#changing(
      () => this.#writes.invalidate(key, options),
      () => this.#forget(key),
    );
    this.#counters.invalidations++;
  }

  async invalidateTag(tag: string, options: InvalidateOptions = {}): Promise<void> {
    this.#closer.assertOpen();
    checkName("tag", tag);
    await this.#changing(
      () => this.#writes.invalidateTag(tag, options),
      () => {
        this.#near?.invalidatedTag(tag);
        this.#detachAll();
      },
    );
    this.#counters.invalidations++;
  }

  async clear(options: InvalidateOptions = {}): Promise<void> {
    this.#closer.assertOpen();
    await this.#changing(
      () => this.#writes.clear(options),
      () => {
        this.#near?.cleared();
        this.#detachAll();
      },
    );
    this.#counters.invalidations++;
  }

  async flush(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closer.assertOpen();
    await this.#behind?.flush(options.signal);
  }

  stats(): CacheStats {
    return { ...this.#counters, localEntries: this.#near?.size ?? 0 };
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer.close();
  }

  async #throughEngine(key: string, signal: AbortSignal | undefined): Promise<V | undefined> {
    let reported = false;
    for (let attempt = 0; attempt < sharedAttempts; attempt++) {
      const moment = this.#near?.moment();
      let view: View<V>;
      try {
        view = await this.#store.look(key, signal);
      } catch (error) {
        return this.#withoutEngine(key, error, signal);
      }
      const { held, pending } = view;
      if (pending !== undefined) {
        this.#counters.hits++;
        return pending.value;
      }
      if (held === undefined) this.#near?.drop(key);
      else if (moment) this.#near?.keep(key, { ...held, version: view.entryVersion }, moment);
      const served = this.#serve(key, view);
      if (served !== undefined) return served.value;
      if (!reported) this.#counters.misses++;
      reported = true;
      if (this.#settings.load === undefined) return undefined;
      const loaded = await this.#loadShared(key, view, signal);
      if (loaded !== undefined) return loaded.value;
    }
    return unwrapped(this.#loads.direct(key, signal));
  }

  /** The answer if what the engine has will do. */
  #serve(key: string, { held, entryVersion }: View<V>): { readonly value: V | undefined } | undefined {
    if (held === undefined) return undefined;
    if (held.freshFor > 0) {
      this.#counters.hits++;
      if (wantsRefresh(held.entry, held.freshFor, this.#settings, this.#engine.runtime))
        this.#refresh(key, entryVersion);
    } else if (held.staleFor > 0) {
      this.#counters.staleServed++;
      this.#refresh(key, entryVersion);
    } else return undefined;
    return { value: held.entry.value };
  }

  /** `undefined`: what others loaded may have been invalidated since this caller came; look again. */
  async #loadShared(
    key: string,
    seen: View<V>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly value: V | undefined } | undefined> {
    let began = false;
    try {
      const work = (flight: Flight): Promise<Loaded<V>> => {
        began = true;
        return this.#loads.load(key, flight, seen);
      };
      const loaded = await this.#shared.run(key, work, signal);
      return began || loaded.current ? loaded : undefined;
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error;
      if (!(error instanceof LoaderFailure)) return { value: await this.#withoutEngine(key, error, signal) };
      const { held } = seen;
      if (held !== undefined && held.staleIfErrorFor > 0) {
        this.#counters.staleServed++;
        return { value: held.entry.value };
      }
      throw error.error;
    }
  }

  async #withoutEngine(key: string, error: unknown, signal: AbortSignal | undefined): Promise<V | undefined> {
    if ((signal?.aborted && error === signal.reason) || !isAway(error)) throw error;
    this.#counters.unavailable++;
    if (channels.unavailable.hasSubscribers) channels.unavailable.publish({ cache: this.name, key, error });
    const { onUnavailable, load, coherent } = this.#settings;
    const copy = onUnavailable === "stale" ? this.#near?.any(key) : undefined;
    if (copy !== undefined) {
      this.#counters.staleServed++;
      return copy.entry.value;
    }
    // What is accepted and not applied stands in the engine alone: the store of record would give the value before it.
    if (onUnavailable === "throw" || load === undefined || this.#behind !== undefined) throw error;
    if (coherent) return unwrapped(this.#loads.direct(key, signal));
    return unwrapped(this.#direct.run(key, (flight) => this.#loads.direct(key, flight.signal), signal));
  }

  /** Loads anew in the background, once at a time for each key. Never rejects. */
  #refresh(key: string, version: Version | undefined): void {
    const { load, maxRefreshes } = this.#settings;
    if (load === undefined || this.#refreshed.has(key) || this.#refreshing.size >= maxRefreshes) return;
    this.#counters.refreshes++;
    this.#refreshed.add(key);
    const work = async (): Promise<void> => {
      try {
        await this.#shared.run(key, (flight) => this.#loads.load(key, flight, undefined, version), undefined);
      } catch (error) {
        if (!channels.refreshFailed.hasSubscribers) return;
        const cause = error instanceof LoaderFailure ? error.error : error;
        channels.refreshFailed.publish({ cache: this.name, key, error: cause });
      }
    };
    const refreshing = work().finally(() => {
      this.#refreshing.delete(refreshing);
      this.#refreshed.delete(key);
    });
    this.#refreshing.add(refreshing);
  }

  /** Copies go when the change is done, and also when it failed, for it may have been done. */
  async #changing(change: () => Promise<void>, forget: () => void): Promise<void> {
    try {
      await change();
    } finally {
      forget();
    }
  }

  #forget(key: string): void {
    this.#near?.invalidated(key);
    this.#shared.detach(key);
    this.#direct.detach(key);
  }

  #detachAll(): void {
    this.#shared.detachAll();
    this.#direct.detachAll();
  }

  async #end(): Promise<void> {
    const reason = new ClosedError("the cache is closed: open it anew to use it again");
    await Promise.all([
      this.#shared.abortAll(reason),
      this.#direct.abortAll(reason),
      this.#behind?.close(),
      this.#near?.close(),
    ]);
    await Promise.all([...this.#refreshing, this.#loads.settled()]);
  }
}

async function unwrapped<T>(loading: Promise<T>): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    throw error instanceof LoaderFailure ? error.error : error;
  }
}
