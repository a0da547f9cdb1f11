import { compareKeys, fullJitter, isAshlarError, sleep, type Timer } from "../../core/index.ts";
import type { Change } from "../../engine/index.ts";
import { Liveness } from "../lease/index.ts";
import type { Instance } from "./contract.ts";
import type { Entries } from "./entries.ts";
import {
  type InstanceRecord,
  isVoid,
  placeOf,
  type Stored,
  type StoredEntry,
  sameRecord,
  toInstance,
} from "./record.ts";

/** Entries of the dead are removed by one of those who watch, soon but not by all at once. */
const sweepMs = 5000;
/** So many at a time. */
const maxSwept = 100;

interface Known {
  readonly entry: Pick<StoredEntry, "key" | "version" | "value">;
  readonly record: InstanceRecord;
  readonly instance: Instance;
}

/** By both clocks of this process. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

/**
 * What this process knows of one service: fed by one watch of its entries and one for each lease that they name, for all views of it.
 *
 * Invariant: an instance is shown if its entry was there at the latest state seen, and its lease was not seen to have ended; of a lease that was found by
 * reading, not by its entry's arrival, first it is found out whether it lives.
 */
export class ServiceWatch {
  readonly service: string;
  readonly #entries: Entries;
  readonly #liveness: Liveness;
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #isReady = false;
  /** Whether there was a first answer. */
  #applied = false;
  #instances: readonly Instance[] = Object.freeze([]);
  #byId: ReadonlyMap<string, Instance> = new Map();
  #notifying = false;
  #sweeping: Timer | undefined;
  /** When the watch that runs now had its first answer; `undefined`: there is none. */
  #establishedAt: number | undefined;
  #confirmed: Moment;

  constructor(entries: Entries, service: string) {
    this.#entries = entries;
    this.service = service;
    const { root, leases } = entries;
    this.#liveness = new Liveness(leases, root.runtime, () => this.#changed());
    this.#confirmed = this.now();
    this.#ready.promise.catch(() => {});
    void this.#follow(this.#stop.signal);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** The last moment at which what is known was surely the latest. */
  get confirmed(): Moment {
    return this.#confirmed;
  }

  /** In order of their ids; the same array until something changes. */
  get instances(): readonly Instance[] {
    return this.#instances;
  }

  get(id: string): Instance | undefined {
    return this.#byId.get(id);
  }

  now(): Moment {
    const { clock } = this.#entries.root.runtime;
    return { monotonic: clock.monotonic(), wall: clock.now() };
  }

  /** The engine, asked at that moment, has answered. That says something only of a watch that ran then and still does. */
  confirm(asked: Moment): void {
    if (this.#establishedAt === undefined || this.#establishedAt > asked.monotonic) return;
    if (asked.monotonic > this.#confirmed.monotonic) this.#confirmed = asked;
  }

  /** Calls the function after each change, until the result is called. */
  listen(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => void this.#listeners.delete(fn);
  }

  close(): void {
    this.#stop.abort();
    this.#sweeping?.cancel();
    this.#liveness.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { root, keys } = this.#entries;
    const { runtime } = root;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const asked = this.now();
        let first = true;
        const range = { prefix: keys.service(this.service) };
        for await (const changes of root.kv.watch<Stored>(range, { signal })) {
          if (signal.aborted) return;
          this.#apply(changes, first);
          if (first) {
            this.#establishedAt = runtime.clock.monotonic();
            if (asked.monotonic > this.#confirmed.monotonic) this.#confirmed = asked;
          }
          first = false;
          failures = 0;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!isAshlarError(error) || !error.retryable) {
          this.#ready.reject(error);
          this.#establishedAt = undefined;
          return;
        }
      }
      this.#establishedAt = undefined;
      const pause = fullJitter(runtime, failures, { base: 10, cap: 1000 });
      await sleep(runtime, pause, { signal, ref: false }).catch(() => {});
    }
  }

  #apply(changes: readonly Change<Stored>[], first: boolean): void {
    const fresh = new Set<string>();
    if (first) this.#keepOnly(new Set(changes.map(({ key }) => placeOf(this.#entries.keys, key).id)));
    for (const change of changes) {
      const { id } = placeOf(this.#entries.keys, change.key);
      if (change.deleted || isVoid(change.value)) {
        this.#known.delete(id);
        continue;
      }
      const { key, version, value: record } = change;
      const before = this.#known.get(id);
      const entry = { key, version, value: record };
      const instance =
        before && sameRecord(before.record, record) ? before.instance : toInstance(this.service, id, record);
      this.#known.set(id, { entry, record, instance });
      // Who is shown under another lease goes on to be shown until the new one is known to have ended.
      if (record.lease !== undefined && (!first || this.#byId.has(id))) fresh.add(record.lease);
    }
    const leases = new Set<string>();
    for (const { record } of this.#known.values()) if (record.lease !== undefined) leases.add(record.lease);
    this.#liveness.watch(leases, fresh);
    this.#applied = true;
    this.#changed();
  }

  #keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }

  /** Changes that come together are reckoned and told once. */
  #changed(): void {
    if (this.#notifying) return;
    this.#notifying = true;
    queueMicrotask(() => {
      this.#notifying = false;
      this.#reckon();
    });
  }

  #reckon(): void {
    if (this.#stop.signal.aborted) return;
    const alive = [...this.#known.values()].filter(({ record }) => this.#status(record) === "alive");
    const instances = alive.map(({ instance }) => instance).sort((a, b) => compareKeys([a.id], [b.id]));
    if ([...this.#known.values()].some(({ record }) => this.#status(record) === "dead")) this.#sweepLater();
    const before = this.#instances;
    if (instances.length !== before.length || instances.some((instance, i) => instance !== before[i])) {
      this.#instances = Object.freeze(instances);
      this.#byId = new Map(instances.map((instance) => [instance.id, instance]));
      for (const listener of [...this.#listeners]) listener();
    }
    if (this.#isReady || !this.#applied || !this.#liveness.known) return;
    this.#isReady = true;
    this.#ready.resolve();
    for (const listener of [...this.#listeners]) listener();
  }

  #status({ lease }: InstanceRecord): "alive" | "dead" | "unknown" {
    return lease === undefined ? "alive" : this.#liveness.statusOf(lease);
  }

  #sweepLater(): void {
    if (this.#sweeping || this.#stop.signal.aborted) return;
    const { runtime } = this.#entries.root;
    const delay = sweepMs * (0.2 + 0.8 * runtime.random.next());
    this.#sweeping = runtime.timers.after(delay, () => void this.#sweep(), { ref: false });
  }

  async #sweep(): Promise<void> {
    const dead = [...this.#known.values()].filter(({ record }) => this.#status(record) === "dead");
    let more = dead.length > maxSwept;
    try {
      await this.#entries.sweep(dead.slice(0, maxSwept).map(({ entry }) => entry));
    } catch {
      more = true;
    }
    this.#sweeping = undefined;
    if (more) this.#sweepLater();
  }
}
