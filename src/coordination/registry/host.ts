import { ClosedError, createCloser, isAshlarError, raceAbort, type Timer, withDeadline } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { leasesOf } from "../lease/index.ts";
import { Entries } from "./entries.ts";
import { isVoid, RegistryKeys, type Stored } from "./record.ts";
import type { OwnRegistration } from "./registration.ts";
import { type Moment, ServiceWatch } from "./service-watch.ts";

/** How often a process looks whether its own registrations still stand. */
const auditMs = 5000;

/** What this process has to do with one registry of a store, whoever asks: the watches of its views, and the care for its own registrations. */
export class Host implements AsyncDisposable {
  readonly entries: Entries;
  readonly #watches = new Map<string, { readonly watch: ServiceWatch; users: number }>();
  /** Of the views that there are: how often the engine is asked depends on the shortest. */
  readonly #staleAfters: number[] = [];
  readonly #registrations = new Set<OwnRegistration>();
  readonly #closing = new AbortController();
  #pulse: Timer | undefined;
  #asking = false;
  #audit: Timer | undefined;
  readonly #closer = createCloser(async () => {
    this.#closing.abort(new ClosedError("the engine is closed: open it anew to use the registry again"));
    this.#pulse?.cancel();
    this.#audit?.cancel();
    for (const { watch } of this.#watches.values()) watch.close();
  }, "the engine");

  constructor(root: Engine, keys: RegistryKeys) {
    this.entries = new Entries(root, keys, leasesOf(root));
  }

  /** The watch of that service, once for each `leave`. */
  enter(service: string, staleAfter: number): ServiceWatch {
    this.#closer.assertOpen();
    let entered = this.#watches.get(service);
    if (!entered) {
      entered = { watch: new ServiceWatch(this.entries, service), users: 0 };
      this.#watches.set(service, entered);
    }
    entered.users++;
    this.#staleAfters.push(staleAfter);
    this.#pulseLater();
    return entered.watch;
  }

  leave(watch: ServiceWatch, staleAfter: number): void {
    this.#staleAfters.splice(this.#staleAfters.indexOf(staleAfter), 1);
    const entered = this.#watches.get(watch.service);
    if (entered?.watch === watch && --entered.users === 0) {
      this.#watches.delete(watch.service);
      watch.close();
    }
    if (this.#staleAfters.length === 0) this.#pulse?.cancel();
  }

  /** Looks after the registration from now on. */
  add(registration: OwnRegistration): void {
    this.#registrations.add(registration);
    if (this.#registrations.size === 1) this.#auditLater();
  }

  delete(registration: OwnRegistration): void {
    this.#registrations.delete(registration);
    if (this.#registrations.size === 0) this.#audit?.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer.close();
  }

  /** A watch does not say that nothing has changed: a call now and then proves that the engine answers. */
  #pulseLater(): void {
    if (this.#asking || this.#closer.closed || this.#staleAfters.length === 0) return;
    this.#pulse?.cancel();
    const { runtime } = this.entries.root;
    const delay = (Math.min(...new Set(this.#staleAfters)) / 3) * (0.8 + 0.2 * runtime.random.next());
    this.#pulse = runtime.timers.after(delay, () => void this.#ask(), { ref: false });
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    const { root } = this.entries;
    const { clock } = root.runtime;
    const asked: Moment = { monotonic: clock.monotonic(), wall: clock.now() };
    // A call that hangs must not keep the next one from being tried.
    using limit = withDeadline(root.runtime, {
      deadlineMs: Math.min(...new Set(this.#staleAfters), 24 * 3600 * 1000) / 3,
      signal: this.#closing.signal,
      name: "confirm the registry",
    });
    try {
      await raceAbort(root.now({ signal: limit.signal }), limit.signal);
      for (const { watch } of this.#watches.values()) watch.confirm(asked);
    } catch {
      // The views say that they are stale when it is time.
    } finally {
      this.#asking = false;
      this.#pulseLater();
    }
  }

  #auditLater(): void {
    if (this.#closer.closed || this.#registrations.size === 0) return;
    const { runtime } = this.entries.root;
    const delay = auditMs * (0.5 + runtime.random.next());
    this.#audit?.cancel();
    this.#audit = runtime.timers.after(
      delay,
      () => {
        void this.#lookAtOwn()
          .catch((error: unknown) => {
            if (!isAshlarError(error) && !this.#closer.closed) throw error;
          })
          .finally(() => this.#auditLater());
      },
      { ref: false },
    );
  }

  /** Whether others have removed or replaced them. */
  async #lookAtOwn(): Promise<void> {
    const { root, keys, leases } = this.entries;
    const standing = [...this.#registrations].flatMap((registration) => {
      const { standing: before, place } = registration;
      return before ? [{ registration, place, before }] : [];
    });
    const some = Math.floor(root.limits.operations / 2);
    for (let i = 0; i < standing.length; i += some) {
      const looked = standing.slice(i, i + some);
      // From one snapshot: an entry that is gone while its lease is there was not swept.
      const found = await root.kv.getMany<Stored>(
        looked.flatMap(({ place: { service, id }, before }) => [
          keys.instance(service, id),
          leases.keyOf(before.lease),
        ]),
      );
      for (const [j, { registration, place, before }] of looked.entries()) {
        const [entry, lease] = [found[2 * j], found[2 * j + 1]];
        const now = registration.standing;
        if (!lease || now?.lease !== before.lease || now.works !== before.works) continue;
        if (!entry || isVoid(entry.value)) registration.overthrown("nobody");
        else if (entry.value.registration !== place.registration) registration.overthrown("another");
      }
    }
  }
}

/** What this process has to do with that registry, the same for all who ask. */
export function hostOf(engine: Engine, name: string): Host {
  const keys = new RegistryKeys(engine.namespace, name);
  return engine.shared(`registry ${keys.name}`, (root) => new Host(root, keys));
}
