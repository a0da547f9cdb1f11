import { invalidArgument } from "../../core/index.ts";
import { Flights } from "../flights.ts";
import { CoarseClock } from "./coarse-clock.ts";
import type { LocalCache, LocalCacheStats, LocalLoader, LocalSetOptions } from "./contract.ts";
import { Expiry } from "./expiry.ts";
import {
  checkLocalOptions,
  type LocalCacheOptions,
  type LocalSettings,
  lifetime,
  type RemovalReason,
} from "./local-options.ts";
import { type Policy, policies } from "./policy.ts";
import { none } from "./slot-list.ts";
import { Weights } from "./weights.ts";

/**
 * A cache in this process's memory, with limits by number, bytes and cost, expiry, and a choice of eviction policies.
 * @throws InvalidArgumentError no limit is given, or an option makes no sense
 */
export function createLocalCache<K, V>(options: LocalCacheOptions<K, V>): LocalCache<K, V> {
  return new BoundedCache(checkLocalOptions(options));
}

/** Every so many sets, twice as many slots are looked at for expired entries. */
const setsPerSweep = 8;
const fewestSlots = 16;

/** Invariant: a slot has a key and a value if it holds an entry; neither if it is free. */
class BoundedCache<K, V> implements LocalCache<K, V> {
  readonly #settings: LocalSettings<K, V>;
  readonly #maxEntries: number;
  /** Whether `onRemove` wants to hear of removals. */
  readonly #tells: boolean;
  readonly #clock: CoarseClock;
  readonly #policy: Policy;
  readonly #slots = new Map<K, number>();
  readonly #keys: (K | undefined)[] = [];
  readonly #values: (V | undefined)[] = [];
  readonly #free: number[] = [];
  /** Slots that were ever used; those above have arrays behind them already, up to the room. */
  #used = 0;
  #room = 0;
  #size = 0;
  #expiry: Expiry | undefined;
  readonly #bytes: Weights | undefined;
  readonly #cost: Weights | undefined;
  readonly #flights = new Flights<K, V | undefined>();
  /** Removals that `onRemove` has not heard of. */
  #removals: [V, K, RemovalReason][] = [];
  #hits = 0;
  #misses = 0;
  #sets = 0;
  #evictions = 0;
  #expirations = 0;
  #refused = 0;
  #loads = 0;
  #loadFailures = 0;

  constructor(settings: LocalSettings<K, V>) {
    this.#settings = settings;
    this.#maxEntries = settings.maxEntries;
    this.#tells = settings.onRemove !== undefined;
    this.#clock = new CoarseClock(settings.runtime, settings.clockResolution);
    this.#policy = policies[settings.eviction](settings.maxEntries);
    const { maxBytes, maxCost } = settings;
    if (maxBytes !== Number.POSITIVE_INFINITY) this.#bytes = new Weights("options.sizeOf", maxBytes);
    if (maxCost !== Number.POSITIVE_INFINITY) this.#cost = new Weights("options.weigh", maxCost);
  }

  get size(): number {
    return this.#size;
  }

  get(key: K): V | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) {
      this.#misses++;
      return undefined;
    }
    const expiry = this.#expiry;
    if (expiry !== undefined) {
      if (expiry.isOver(slot)) {
        this.#misses++;
        this.#expire(slot);
        if (this.#tells) this.#announce();
        return undefined;
      }
      expiry.touch(slot);
    }
    this.#policy.access(slot);
    this.#hits++;
    return this.#values[slot];
  }

  peek(key: K): V | undefined {
    const slot = this.#liveSlot(key);
    return slot === none ? undefined : this.#values[slot];
  }

  has(key: K): boolean {
    return this.#liveSlot(key) !== none;
  }

  set(key: K, value: V, options?: LocalSetOptions): boolean {
    if (value === undefined) throw invalidArgument("value", value, "anything but undefined, which means absent");
    const { ttl, idle } = options === undefined ? this.#settings : this.#lifetimes(options);
    const bytes = this.#bytes ? this.#bytes.checked(this.#settings.sizeOf(value, key)) : 0;
    const cost = this.#cost ? this.#cost.checked(this.#settings.weigh(value, key)) : 0;
    if (this.#flights.size > 0) this.#flights.detach(key);
    if (this.#sets % setsPerSweep === 0) this.#expiry?.sweep(2 * setsPerSweep, this.#used, this.#expire);
    const old = this.#slots.get(key);
    if ((this.#bytes && bytes > this.#bytes.limit) || (this.#cost && cost > this.#cost.limit)) {
      this.#refused++;
      if (old !== undefined) this.#drop(old, "replaced");
      if (this.#tells) this.#announce();
      return false;
    }
    const slot = this.#put(key, value, bytes, cost, old);
    this.#setLifetime(slot, ttl, idle);
    this.#sets++;
    if (this.#tells) this.#announce();
    return true;
  }

  delete(key: K): boolean {
    this.#flights.detach(key);
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    const over = this.#expiry?.isOver(slot) ?? false;
    if (over) this.#expire(slot);
    else this.#drop(slot, "deleted");
    if (this.#tells) this.#announce();
    return !over;
  }

  clear(): void {
    this.#flights.detachAll();
    if (this.#tells) for (const slot of this.#slots.values()) this.#note(slot, "deleted");
    this.#slots.clear();
    this.#keys.length = 0;
    this.#values.length = 0;
    this.#free.length = 0;
    this.#used = 0;
    this.#size = 0;
    this.#policy.clear();
    this.#expiry?.clear();
    this.#bytes?.clear();
    this.#cost?.clear();
    if (this.#tells) this.#announce();
  }

  async getOrLoad(
    key: K,
    load: LocalLoader<K, V>,
    options: LocalSetOptions & { readonly signal?: AbortSignal } = {},
  ): Promise<V | undefined> {
    const { signal, ...lifetimes } = options;
    signal?.throwIfAborted();
    const present = this.get(key);
    if (present !== undefined) return present;
    const work = async (flight: { readonly signal: AbortSignal; readonly current: boolean }) => {
      this.#loads++;
      try {
        const value = await load(key, { signal: flight.signal });
        if (value !== undefined && flight.current) this.set(key, value, lifetimes);
        return value;
      } catch (error) {
        this.#loadFailures++;
        throw error;
      }
    };
    return this.#flights.run(key, work, signal);
  }

  remaining(key: K): number | undefined {
    const slot = this.#liveSlot(key);
    if (slot === none) return undefined;
    return this.#expiry?.remaining(slot) ?? Number.POSITIVE_INFINITY;
  }

  sweep(): number {
    const expiry = this.#expiry;
    if (expiry === undefined) return 0;
    const before = this.#expirations;
    for (const slot of this.#slots.values()) if (expiry.isOver(slot)) this.#expire(slot);
    const swept = this.#expirations - before;
    if (this.#tells) this.#announce();
    return swept;
  }

  stats(): LocalCacheStats {
    return {
      entries: this.#size,
      bytes: this.#bytes?.total ?? 0,
      cost: this.#cost?.total ?? 0,
      hits: this.#hits,
      misses: this.#misses,
      sets: this.#sets,
      evictions: this.#evictions,
      expirations: this.#expirations,
      refused: this.#refused,
      loads: this.#loads,
      loadFailures: this.#loadFailures,
    };
  }

  *entries(): Generator<[K, V], undefined> {
    for (const [key, slot] of this.#slots) {
      if (!this.#expiry?.isOver(slot)) yield [key, this.#values[slot] as V];
    }
  }

  *keys(): Generator<K, undefined> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): Generator<V, undefined> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  #liveSlot(key: K): number {
    const slot = this.#slots.get(key);
    if (slot === undefined || this.#expiry?.isOver(slot)) return none;
    return slot;
  }

  #lifetimes(options: LocalSetOptions): { ttl: number; idle: number } {
    return {
      ttl: options.ttl === undefined ? this.#settings.ttl : lifetime(options.ttl, "ttl"),
      idle: options.idle === undefined ? this.#settings.idle : lifetime(options.idle, "idle"),
    };
  }

  /** Where the value went. `old` is the slot that has the key. */
  #put(key: K, value: V, bytes: number, cost: number, old: number | undefined): number {
    if (old === undefined) return this.#insert(key, value, bytes, cost);
    const moreBytes = bytes - (this.#bytes?.of(old) ?? 0);
    const moreCost = cost - (this.#cost?.of(old) ?? 0);
    if (this.#isOver(0, moreBytes, moreCost)) {
      // It has grown so much that others must go; taken out first, it is surely not among them.
      this.#drop(old, "replaced");
      return this.#insert(key, value, bytes, cost);
    }
    if (this.#tells) this.#note(old, "replaced");
    this.#values[old] = value;
    this.#policy.access(old);
    this.#bytes?.set(old, bytes);
    this.#cost?.set(old, cost);
    return old;
  }

  #insert(key: K, value: V, bytes: number, cost: number): number {
    let slot = none;
    while (this.#isOver(1, bytes, cost)) {
      if (slot !== none) this.#free.push(slot);
      slot = this.#evict();
    }
    if (slot === none) slot = this.#takeSlot();
    this.#slots.set(key, slot);
    this.#keys[slot] = key;
    this.#values[slot] = value;
    this.#size++;
    this.#bytes?.set(slot, bytes);
    this.#cost?.set(slot, cost);
    this.#policy.insert(slot, key);
    return slot;
  }

  /** Whether that much more would be over a limit. */
  #isOver(entries: number, bytes: number, cost: number): boolean {
    return (
      this.#size + entries > this.#maxEntries ||
      (this.#bytes !== undefined && this.#size > 0 && this.#bytes.total + bytes > this.#bytes.limit) ||
      (this.#cost !== undefined && this.#size > 0 && this.#cost.total + cost > this.#cost.limit)
    );
  }

  #setLifetime(slot: number, ttl: number, idle: number): void {
    if (this.#expiry === undefined) {
      if (ttl === Number.POSITIVE_INFINITY && idle === Number.POSITIVE_INFINITY) return;
      this.#expiry = new Expiry(this.#clock, this.#room);
    }
    this.#expiry.set(slot, ttl, idle);
  }

  #takeSlot(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#used === this.#room) this.#grow();
    return this.#used++;
  }

  #grow(): void {
    this.#room = Math.max(fewestSlots, this.#room * 2);
    this.#policy.grow(this.#room);
    this.#expiry?.grow(this.#room);
    this.#bytes?.grow(this.#room);
    this.#cost?.grow(this.#room);
  }

  /** The slot that has become free; it is not on the list of those. */
  #evict(): number {
    const slot = this.#policy.evict();
    this.#evictions++;
    this.#empty(slot, "evicted");
    return slot;
  }

  readonly #expire = (slot: number): void => {
    this.#expirations++;
    this.#drop(slot, "expired");
  };

  #drop(slot: number, reason: RemovalReason): void {
    this.#policy.remove(slot);
    this.#empty(slot, reason);
    this.#free.push(slot);
  }

  #empty(slot: number, reason: RemovalReason): void {
    if (this.#tells) this.#note(slot, reason);
    this.#slots.delete(this.#keys[slot] as K);
    this.#keys[slot] = undefined;
    this.#values[slot] = undefined;
    this.#size--;
    this.#expiry?.forget(slot);
    this.#bytes?.set(slot, 0);
    this.#cost?.set(slot, 0);
  }

  #note(slot: number, reason: RemovalReason): void {
    this.#removals.push([this.#values[slot] as V, this.#keys[slot] as K, reason]);
  }

  /** Tells of removals once all is in order again: the callback may use the cache. */
  #announce(): void {
    if (this.#removals.length === 0) return;
    const removals = this.#removals;
    this.#removals = [];
    const errors: unknown[] = [];
    for (const removal of removals) {
      try {
        this.#settings.onRemove?.(...removal);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
