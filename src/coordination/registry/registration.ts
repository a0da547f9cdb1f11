import {
  ClosedError,
  ConflictError,
  fullJitter,
  InvalidStateError,
  isAshlarError,
  linkSignals,
  raceAbort,
  sleep,
} from "../../core/index.ts";
import type { Lease } from "../lease/index.ts";
import { ended, lost, type RegistryMessage, registered, restored } from "./channels.ts";
import type { InstanceChanges, Registration } from "./contract.ts";
import { type Entries, type Place, replaced, worthRepeating } from "./entries.ts";
import { checkChanges } from "./options.ts";
import { change, type Described, type InstanceRecord } from "./record.ts";

/** How long `close` waits for an engine that does not answer. */
const closeMs = 1000;

export interface RegistrationOptions {
  readonly place: Place;
  readonly described: Described;
  readonly ttl: number;
  readonly reregister: boolean;
  readonly onEnd: (registration: OwnRegistration) => void;
}

/**
 * An instance that is this process.
 *
 * Invariant: at most one commit of it is under way at a time, and what it writes is under `#lease`.
 */
export class OwnRegistration implements Registration {
  readonly #entries: Entries;
  readonly #options: RegistrationOptions;
  readonly #ending = new AbortController();
  #described: Described;
  #lease: Lease;
  /** Whether the entry stands under `#lease`. */
  #stands = false;
  /** Whether `#lease` is to be given back. */
  #retained = true;
  /** A commit was given up without a certain outcome. */
  #inDoubt = false;
  #last: Promise<unknown> = Promise.resolve();
  /** Commits that wait or are under way, and those that were: who looks at the entry meanwhile does not know what it means. */
  #working = 0;
  #works = 0;
  #restored = Promise.withResolvers<void>();
  #removed: Promise<void> | undefined;
  readonly #since: number;
  readonly #onLoss = (): void => this.#lost();

  constructor(entries: Entries, lease: Lease, options: RegistrationOptions) {
    this.#entries = entries;
    this.#options = options;
    this.#described = options.described;
    this.#lease = lease;
    this.#since = entries.root.runtime.clock.now();
    this.#restored.promise.catch(() => {});
  }

  get service(): string {
    return this.#options.place.service;
  }

  get id(): string {
    return this.#options.place.id;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get registered(): boolean {
    return this.#stands && !this.signal.aborted && this.#lease.held;
  }

  /** Who it is in the store. */
  get place(): Place {
    return this.#options.place;
  }

  /** The lease under which it stands and how often it has been written; `undefined` while that is not sure. */
  get standing(): { readonly lease: string; readonly works: number } | undefined {
    return this.registered && this.#working === 0 ? { lease: this.#lease.id, works: this.#works } : undefined;
  }

  /** Writes the entry for the first time. */
  async begin(fresh: boolean, signal: AbortSignal | undefined): Promise<void> {
    using linked = linkSignals(signal, this.signal);
    const until = linked.signal;
    try {
      await this.#work(until, () =>
        this.#entries.create(this.place, this.#record(undefined), fresh, { lease: this.#lease, signal: until }),
      );
    } catch (error) {
      this.#end(error);
      void this.#takeBack();
      throw error;
    }
    this.#standUnder(this.#lease);
    this.#tell(registered);
  }

  async update(changes: InstanceChanges, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkChanges(changes);
    const { place } = this;
    using linked = linkSignals(options.signal, this.signal);
    for (;;) {
      linked.signal.throwIfAborted();
      if (!this.registered) {
        await raceAbort(this.#restored.promise, linked.signal);
        continue;
      }
      try {
        await this.#work(linked.signal, () => this.#rewrite(changes, linked.signal));
        return;
      } catch (error) {
        if (isAshlarError(error, "CONFLICT") && error.details?.["id"] === place.id) this.#end(error);
        if (!isAshlarError(error, "LEASE_LOST") || !this.#options.reregister) throw error;
      }
    }
  }

  close(): Promise<void> {
    this.#end(new ClosedError(`instance ${this.id} of ${this.service}: the registration was closed`));
    return this.#takeBack();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The store has been looked at: the lease is there, the entry is not, or it is another's. */
  overthrown(by: "another" | "nobody"): void {
    this.#end(
      by === "another"
        ? replaced(this.place)
        : new InvalidStateError(
            `instance ${this.id} of ${this.service}: the registration was removed by somebody else`,
          ),
    );
  }

  async #rewrite(changes: InstanceChanges, signal: AbortSignal): Promise<void> {
    const described = change(this.#described, changes);
    const next = (present: InstanceRecord | undefined) => present && this.#record(present, described);
    const written = await this.#entries.rewrite(this.place, next, { lease: this.#lease, signal });
    if (written) {
      this.#described = described;
      return;
    }
    // The lease was there at that instant, so nobody has swept the entry.
    this.overthrown("nobody");
    throw this.signal.reason;
  }

  #record(present: InstanceRecord | undefined, described: Described = this.#described): InstanceRecord {
    return {
      ...described,
      registration: this.place.registration,
      revision: (present?.revision ?? 0) + 1,
      lease: this.#lease.id,
      since: this.#since,
    };
  }

  /** One after another. */
  #work<T>(signal: AbortSignal | undefined, fn: () => Promise<T>): Promise<T> {
    this.#working++;
    const result = this.#last.then(fn);
    this.#last = result.then(
      () => {},
      (error: unknown) => {
        if (signal?.aborted || !isAshlarError(error) || !error.definite) this.#inDoubt = true;
      },
    );
    const done = (): void => {
      this.#working--;
      this.#works++;
    };
    result.then(done, done);
    return result;
  }

  #standUnder(lease: Lease): void {
    this.#lease = lease;
    this.#stands = true;
    this.#retained = true;
    if (lease.signal.aborted) this.#lost();
    else lease.signal.addEventListener("abort", this.#onLoss, { once: true });
  }

  #lost(): void {
    if (!this.#stands || this.signal.aborted) return;
    this.#stands = false;
    this.#giveBack();
    this.#restored = Promise.withResolvers<void>();
    this.#restored.promise.catch(() => {});
    this.#tell(lost);
    if (this.#options.reregister) void this.#restore();
    else this.#end(this.#lease.signal.reason);
  }

  async #restore(): Promise<void> {
    const { runtime } = this.#entries.root;
    for (let failures = 0; !this.signal.aborted; failures++) {
      try {
        if (await this.#tryRestore()) return;
      } catch (error) {
        if (this.signal.aborted) return;
        if (!isAshlarError(error) || (!worthRepeating(error) && !isAshlarError(error, "LEASE_LOST"))) {
          this.#end(error);
          return;
        }
        if (error instanceof ConflictError && error.details?.["id"] === this.id) {
          this.#end(error);
          return;
        }
      }
      const pause = fullJitter(runtime, failures, { base: 10, cap: 1000 });
      await sleep(runtime, pause, { signal: this.signal, ref: false }).catch(() => {});
    }
  }

  async #tryRestore(): Promise<boolean> {
    const lease = await this.#entries.leases.acquire(this.#options.ttl, { signal: this.signal });
    let stands = false;
    try {
      await this.#work(this.signal, async () => {
        this.#lease = lease;
        // Absent: swept, for the lease had ended.
        await this.#entries.rewrite(this.place, (present) => this.#record(present), { lease, signal: this.signal });
        stands = true;
      });
    } finally {
      if (!stands || this.signal.aborted) lease.release();
    }
    if (this.signal.aborted) return true;
    this.#standUnder(lease);
    if (!this.registered) return false;
    this.#restored.resolve();
    this.#tell(restored);
    return true;
  }

  #end(error: unknown): void {
    if (this.signal.aborted) return;
    if (ended.hasSubscribers) ended.publish({ ...this.#message(), error } satisfies RegistryMessage);
    this.#ending.abort(error);
    this.#lease.signal.removeEventListener("abort", this.#onLoss);
    this.#options.onEnd(this);
  }

  #takeBack(): Promise<void> {
    this.#removed ??= this.#remove();
    return this.#removed;
  }

  async #remove(): Promise<void> {
    const { root } = this.#entries;
    const removed = this.#last
      // Once the lease is over, so is what stands under it.
      .then(() => this.#entries.removeAtLast(this.place, this.#inDoubt, () => !this.#lease.held))
      .finally(() => this.#giveBack());
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = root.runtime.timers.after(closeMs, resolve);
    await Promise.race([removed, late]);
    timer.cancel();
  }

  #giveBack(): void {
    if (!this.#retained) return;
    this.#retained = false;
    this.#lease.release();
  }

  #tell(channel: typeof registered): void {
    if (channel.hasSubscribers) channel.publish(this.#message());
  }

  #message(): RegistryMessage {
    return { service: this.service, id: this.id };
  }
}
