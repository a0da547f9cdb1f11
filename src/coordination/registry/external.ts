import { isAshlarError, LeaseLostError } from "../../core/index.ts";
import type { ExternalRegistration, InstanceChanges } from "./contract.ts";
import type { Entries, Place } from "./entries.ts";
import { checkChanges } from "./options.ts";
import { change, type InstanceRecord } from "./record.ts";

/** For how long a registration in doubt is tried to be taken back. */
const takeBackMs = 60_000;

/** An instance whose entry lives by itself, not under a lease of this process. */
export class External implements ExternalRegistration {
  readonly #entries: Entries;
  readonly #place: Place;

  constructor(entries: Entries, place: Place) {
    this.#entries = entries;
    this.#place = place;
  }

  get service(): string {
    return this.#place.service;
  }

  get id(): string {
    return this.#place.id;
  }

  /** Writes the entry for the first time. */
  async begin(record: InstanceRecord, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#entries.create(this.#place, record, false, { lease: undefined, signal });
    } catch (error) {
      const { clock } = this.#entries.root.runtime;
      const until = clock.monotonic() + takeBackMs;
      if (signal?.aborted || !isAshlarError(error) || !error.definite)
        void this.#entries.removeAtLast(this.#place, true, () => clock.monotonic() > until);
      throw error;
    }
  }

  async heartbeat(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    // Rewritten as it is: its time to live begins anew.
    await this.#rewrite((record) => record, options.signal);
  }

  async update(changes: InstanceChanges, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkChanges(changes);
    await this.#rewrite((record) => ({ ...change(record, changes), revision: record.revision + 1 }), options.signal);
  }

  remove(options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#entries.remove(this.#place, { signal: options.signal });
  }

  async #rewrite(next: (record: InstanceRecord) => InstanceRecord, signal: AbortSignal | undefined): Promise<void> {
    const written = await this.#entries.rewrite(this.#place, (present) => present && next(present), {
      lease: undefined,
      signal,
    });
    if (written) return;
    const { service, id } = this;
    throw new LeaseLostError(
      `instance ${JSON.stringify(id)} of ${JSON.stringify(service)}: it has expired or was removed; register it again`,
      { details: { service, id } },
    );
  }
}
