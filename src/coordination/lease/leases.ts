import {
  createCloser,
  createIds,
  type Duration,
  type Key,
  LimitError,
  raceAbort,
  toMilliseconds,
} from "../../core/index.ts";
import { type Engine, EngineClock, type Fence } from "../../engine/index.ts";
import { Departures } from "./departures.ts";
import { Heartbeats } from "./heartbeats.ts";
import { HeldLease } from "./held-lease.ts";
import { leaseKey } from "./keys.ts";

/**
 * The leases of this process on a store. A lease is an entry that lives for its time and is renewed by a heartbeat, one commit for all leases of the
 * process. Whatever the process owns names its lease; when the entry is gone, others may take it over.
 */
export interface Leases {
  /**
   * A lease of this process with that time to live: the one that it has already, or a new one. Whoever asks for it gives it back by `release`; without users it
   * is not renewed any more.
   * @param ttl after the last renewal: 100 ms to a day. Short: the work of a process that died is taken over soon. Long: pauses and cuts in the
   * connection up to that length do no harm.
   * @throws UnavailableError the engine cannot be reached
   * @throws LimitError more than 16 different times to live at once
   */
  acquire(ttl: Duration, options?: { readonly signal?: AbortSignal }): Promise<Lease>;
  /** Whether the lease with this id, of whichever process, lasts. */
  lives(id: string, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
  /** Those of the leases with these ids, of whichever processes, that last. */
  living(ids: Iterable<string>, options?: { readonly signal?: AbortSignal }): Promise<ReadonlySet<string>>;
  /** Resolves when the lease with this id, of whichever process, has ended; at once if it never was. Rejects with the signal's reason. */
  gone(id: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /** The key of a lease at the root of the store, for checks: present while the lease lasts, absent for ever afterwards. */
  keyOf(id: string): Key;
  /** The engine's clock in milliseconds, estimated without a call where that can be done. */
  now(): Promise<number>;
}

/** As a fence: a transaction that it guards fails with `LEASE_LOST` once the lease has ended, even if the process has not noticed. */
export interface Lease extends Fence {
  /** Never used again. */
  readonly id: string;
  /** Milliseconds. */
  readonly ttl: number;
  /**
   * Aborted with a `LeaseLostError` when the lease can no longer be relied on. That comes before the engine ends it, unless the process stands still
   * (stopped, swapped out) or the engine's clock is set forward; what is fenced is safe even then.
   */
  readonly signal: AbortSignal;
  /** Whether it can be relied on at this moment, asked of the clock: right even after a pause, before timers have run. */
  readonly held: boolean;
  /** Milliseconds for which it can surely be relied on without another renewal. */
  readonly remaining: number;
  /** This user does not need it any more. Once for each `acquire`. */
  release(): void;
}

/** The leases of this process on the engine's store, the same for all its scopes. They end when the engine is closed. */
export function leasesOf(engine: Engine): Leases {
  return engine.shared("leases", (root) => new ProcessLeases(root));
}

const maxDifferent = 16;
const shortestTtl = 100;
const longestTtl = 24 * 3600 * 1000;

class ProcessLeases implements Leases, AsyncDisposable {
  readonly #root: Engine;
  readonly #held = new Set<HeldLease>();
  readonly #granting = new Map<number, Promise<HeldLease>>();
  readonly #heartbeats: Heartbeats;
  readonly #departures: Departures;
  readonly #clock: EngineClock;
  readonly #ids: { next(): string };
  readonly #closer = createCloser(() => this.#end(), "the leases of this engine");

  constructor(root: Engine) {
    this.#root = root;
    this.#ids = createIds(root.runtime);
    this.#heartbeats = new Heartbeats(root, (lease) => this.#retire(lease));
    this.#departures = new Departures(root);
    this.#clock = new EngineClock(root, root.runtime);
  }

  async acquire(given: Duration, options: { readonly signal?: AbortSignal } = {}): Promise<Lease> {
    this.#closer.assertOpen();
    const ttl = toMilliseconds(given, "ttl", { min: shortestTtl, max: longestTtl });
    for (const lease of this.#held) {
      if (lease.ttl === ttl && lease.held) {
        lease.retain();
        return lease;
      }
    }
    const lease = await raceAbort(this.#grant(ttl), options.signal);
    this.#closer.assertOpen();
    lease.retain();
    return lease;
  }

  async lives(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return (await this.#root.kv.get(leaseKey(id), options)) !== undefined;
  }

  async living(ids: Iterable<string>, options: { readonly signal?: AbortSignal } = {}): Promise<ReadonlySet<string>> {
    const different = [...new Set(ids)];
    const living = new Set<string>();
    const { operations } = this.#root.limits;
    for (let i = 0; i < different.length; i += operations) {
      const some = different.slice(i, i + operations);
      const entries = await this.#root.kv.getMany(some.map(leaseKey), options);
      for (const [j, id] of some.entries()) if (entries[j] !== undefined) living.add(id);
    }
    return living;
  }

  gone(id: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    return this.#departures.gone(id, signal);
  }

  keyOf(id: string): Key {
    return leaseKey(id);
  }

  now(): Promise<number> {
    return this.#clock.now();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer.close();
  }

  #grant(ttl: number): Promise<HeldLease> {
    let granting = this.#granting.get(ttl);
    if (!granting) {
      if (this.#held.size + this.#granting.size >= maxDifferent) {
        throw new LimitError(
          `ttl: a process may have leases of ${maxDifferent} different times to live at once; use one of those in use`,
          { details: { name: "ttl", given: ttl, limit: maxDifferent } },
        );
      }
      granting = this.#create(ttl).finally(() => this.#granting.delete(ttl));
      this.#granting.set(ttl, granting);
    }
    return granting;
  }

  async #create(ttl: number): Promise<HeldLease> {
    const id = this.#ids.next();
    const sentAt = this.#root.runtime.clock.monotonic();
    // If the answer is lost, the entry runs out by itself, and the id was told to nobody.
    await this.#root.kv.commit({
      checks: [{ key: leaseKey(id), version: undefined }],
      mutations: [{ set: leaseKey(id), value: ttl, ttl }],
    });
    const lease = new HeldLease(this.#root, { id, ttl, sentAt });
    this.#held.add(lease);
    this.#heartbeats.add(lease);
    lease.signal.addEventListener("abort", () => this.#forget(lease), { once: true });
    return lease;
  }

  #retire(lease: HeldLease): void {
    lease.retire();
    this.#forget(lease);
  }

  /** Others need not wait for what this process does not own any more. */
  #forget(lease: HeldLease): void {
    this.#held.delete(lease);
    this.#heartbeats.delete(lease);
    if (!this.#closer.closed) this.#root.kv.delete(lease.key).catch(() => {});
  }

  async #end(): Promise<void> {
    await this.#heartbeats.close();
    this.#departures.close();
    const held = [...this.#held];
    for (const lease of held) lease.lose("the engine was closed");
    if (held.length === 0) return;
    const { timers } = this.#root.runtime;
    const controller = new AbortController();
    // Whoever closes does not wait for an engine that does not answer: the leases run out by themselves.
    const timer = timers.after(1000, () => controller.abort());
    await this.#root.kv
      .commit({ mutations: held.map(({ key }) => ({ delete: key })) }, { signal: controller.signal })
      .catch(() => {});
    timer.cancel();
  }
}
