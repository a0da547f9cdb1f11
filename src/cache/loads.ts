import { raceAbort, sleep, TimeoutError, throwIfAborted, withDeadline } from "../core/index.ts";
import type { Engine, Version } from "../engine/index.ts";
import type { CacheSettings } from "./cache-options.ts";
import { channels } from "./channels.ts";
import type { Counters } from "./counters.ts";
import { isAway } from "./engine-away.ts";
import type { Claim, EntryStore, Fences, Stored, TagMark, View } from "./entry-store.ts";
import type { Flight } from "./flights.ts";
import type { NearTier } from "./near-tier.ts";
import { drawLifetime, type StoredEntry } from "./stored-entry.ts";
import { checkTags } from "./tags.ts";

/** What the loader threw, told apart from what the engine throws. */
export class LoaderFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

export interface Loaded<V> {
  readonly value: V | undefined;
  /** Whether the value was surely current after the last caller joined. */
  readonly current: boolean;
}

/** How often the tags of a value may be invalidated while it is loaded before it is given out without being stored. */
const loadsPerClaim = 2;
/** Waits for others' claims, in lives of a claim. */
const patienceInClaims = 3;
/** Who waits for another's claim looks this often even if the watch says nothing: it may be broken, and expiry comes through it late. */
const lookAgainMs = 1000;

/** Loads, one at a time for each key in the whole cluster, under a claim. */
export class Loads<V> {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #settings: CacheSettings<V>;
  readonly #store: EntryStore<V>;
  readonly #near: NearTier<V> | undefined;
  readonly #counters: Counters;
  /** Claims that are being given back. */
  readonly #releasing = new Set<Promise<void>>();

  constructor(parts: {
    readonly engine: Engine;
    readonly name: string;
    readonly settings: CacheSettings<V>;
    readonly store: EntryStore<V>;
    readonly near: NearTier<V> | undefined;
    readonly counters: Counters;
  }) {
    this.#engine = parts.engine;
    this.#name = parts.name;
    this.#settings = parts.settings;
    this.#store = parts.store;
    this.#near = parts.near;
    this.#counters = parts.counters;
  }

  /**
   * The value: loaded here, or by whoever has the claim.
   * @param seen what the engine had, if that was asked already
   * @param not the version that is to be replaced although it is fresh
   * @throws LoaderFailure
   */
  async load(key: string, flight: Flight, seen: View<V> | undefined, not?: Version): Promise<Loaded<V>> {
    const { signal } = flight;
    const { runtime } = this.#engine;
    const end = runtime.clock.monotonic() + this.#settings.claimLife * patienceInClaims;
    for (let known = seen; ; known = undefined) {
      throwIfAborted(signal);
      const moment = this.#near?.moment();
      const view = known ?? (await this.#store.look(key, signal));
      if (view.pending !== undefined) return { value: view.pending.value, current: false };
      const { held, entryVersion: version } = view;
      if (held !== undefined && held.freshFor > 0 && version !== not) {
        if (moment && known === undefined) this.#near?.keep(key, { ...held, version }, moment);
        return { value: held.entry.value, current: false };
      }
      const left = end - runtime.clock.monotonic();
      if (left <= 0) {
        throw new TimeoutError(`cache ${this.#name}: others have been loading ${key} for too long; try again`, {
          details: { cache: this.#name, key },
        });
      }
      if (view.claim !== undefined) {
        // Someone refreshes it already.
        if (not !== undefined) return { value: held?.entry.value, current: false };
        await this.#untilReleased(key, view.claim, Math.min(left, view.claim.ttl + 1, lookAgainMs), signal);
        continue;
      }
      const claim = await this.#store.claim(key, view, signal);
      if (claim !== undefined) return this.#loadUnder(claim, key, view, flight);
    }
  }

  /** Calls the loader, for a value that is not to be stored. @throws LoaderFailure */
  async direct(key: string, signal: AbortSignal | undefined): Promise<V | undefined> {
    const { loadTimeout } = this.#settings;
    using scope = withDeadline(this.#engine.runtime, { signal, deadlineMs: loadTimeout, name: `loading ${key}` });
    return this.#call(key, scope.signal);
  }

  async #loadUnder(claim: Claim, key: string, view: View<V>, flight: Flight): Promise<Loaded<V>> {
    const { runtime } = this.#engine;
    const { loadTimeout, tags } = this.#settings;
    using scope = withDeadline(runtime, { signal: flight.signal, deadlineMs: loadTimeout, name: `loading ${key}` });
    let claimed = true;
    try {
      let known: ReadonlyMap<string, TagMark> = new Map();
      for (let attempt = 1; ; attempt++) {
        const shards = tags && (await this.#store.shardVersions(scope.signal));
        const started = runtime.clock.monotonic();
        const value = await this.#call(key, scope.signal);
        const cost = runtime.clock.monotonic() - started;
        // The claim vouches for the value at the instant of the next commit, and not for those who come after it.
        flight.seal();
        const names = value === undefined || tags === undefined ? [] : checkTags(tags(value, key));
        // Tags that were read before this load need no shard to vouch for them.
        const exact = names.every((name) => known.has(name));
        const marks = exact ? pick(known, names) : await this.#marks(names, scope.signal);
        if (marks === undefined) return { value, current: false };
        const fences = { claim, generation: view.generation, tags: marks, shards: exact ? undefined : shards };
        const stored = await this.#keep(key, value, cost, fences);
        if (stored.outcome === "tag-moved" && attempt < loadsPerClaim) {
          const fresh = await this.#marks(names, scope.signal);
          if (fresh === undefined) return { value, current: false };
          known = fresh;
          continue;
        }
        if (channels.load.hasSubscribers) {
          channels.load.publish({ cache: this.#name, key, ms: cost, outcome: stored.outcome });
        }
        claimed = stored.outcome !== "stored" && stored.outcome !== "emptied";
        return { value, current: !claimed };
      }
    } finally {
      // Whoever waits need not wait until the claim expires. Should this fail, it does.
      if (claimed) this.#release(key, claim);
    }
  }

  /** `undefined`: the engine is away; what was loaded is good nevertheless for those who asked. */
  async #marks(tags: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, TagMark> | undefined> {
    try {
      return await this.#store.marks(tags, signal);
    } catch (error) {
      if (isAway(error)) return undefined;
      throw error;
    }
  }

  /** Resolves when all claims have been given back, or nothing more can be done about them. */
  async settled(): Promise<void> {
    await Promise.all(this.#releasing);
  }

  #release(key: string, claim: Claim): void {
    const releasing: Promise<void> = this.#store
      .release(key, claim)
      .catch(() => {})
      .finally(() => this.#releasing.delete(releasing));
    this.#releasing.add(releasing);
  }

  async #keep(key: string, value: V | undefined, cost: number, fences: Fences): Promise<Stored> {
    const ttl = value === undefined || value === null ? this.#settings.negativeTtl : this.#settings.ttl;
    if (ttl === 0) return this.#empty(key, fences);
    const entry: StoredEntry<V> = {
      ...(value !== undefined && { value }),
      generation: fences.generation.id,
      tags: [...fences.tags].map(([tag, { id }]) => [tag, id] as const),
      cost,
      ...drawLifetime(ttl, this.#settings, this.#engine.runtime),
    };
    const moment = this.#near?.moment();
    const stored = await this.#store.storeLoaded(key, entry, fences);
    const { outcome } = stored;
    if (outcome === "stored" && moment) {
      this.#near?.keep(key, { entry, version: stored.version, remaining: entry.life }, moment);
    }
    if (outcome === "fenced" || outcome === "tag-moved") this.#counters.fenced++;
    if (outcome !== "too-large") return stored;
    this.#counters.tooLarge++;
    return this.#empty(key, fences);
  }

  async #call(key: string, signal: AbortSignal): Promise<V | undefined> {
    const { load } = this.#settings;
    if (load === undefined) return undefined;
    this.#counters.loads++;
    try {
      return await raceAbort(new Promise<V | undefined>((resolve) => resolve(load(key, { signal }))), signal);
    } catch (error) {
      this.#counters.loadFailures++;
      if (channels.loadFailed.hasSubscribers) channels.loadFailed.publish({ cache: this.#name, key, error });
      throw new LoaderFailure(error);
    }
  }

  /** What is not cached must not leave its predecessor behind either. */
  async #empty(key: string, fences: Fences): Promise<Stored> {
    this.#near?.drop(key);
    const stored = await this.#store.storeLoaded(key, undefined, fences);
    if (stored.outcome !== "stored") {
      if (stored.outcome === "fenced" || stored.outcome === "tag-moved") this.#counters.fenced++;
      return stored;
    }
    return { outcome: "emptied" };
  }

  /** Until the claim has gone or changed, or the time is up. */
  async #untilReleased(
    key: string,
    claim: NonNullable<View<V>["claim"]>,
    ms: number,
    signal: AbortSignal,
  ): Promise<void> {
    const stop = new AbortController();
    const watch = async (): Promise<void> => {
      const range = { key: this.#store.claimKey(key) };
      for await (const changes of this.#engine.kv.watch(range, { signal: stop.signal })) {
        if (changes.at(-1)?.version !== claim.version) return;
      }
    };
    const onAbort = (): void => stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      // A watch that breaks is no reason to give up: the time will be up.
      const timer = sleep(this.#engine.runtime, ms, { signal: stop.signal });
      await Promise.race([timer, watch().catch(() => timer)]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      stop.abort();
    }
  }
}

function pick(marks: ReadonlyMap<string, TagMark>, names: readonly string[]): Map<string, TagMark> {
  const undefinedMark: TagMark = { id: "", version: undefined };
  return new Map(names.map((name) => [name, marks.get(name) ?? undefinedMark]));
}
