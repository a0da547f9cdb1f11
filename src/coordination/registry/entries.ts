import { ConflictError, fullJitter, InvalidStateError, isAshlarError, sleep } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { Lease, Leases } from "../lease/index.ts";
import { type RegistryMessage, swept } from "./channels.ts";
import {
  type InstanceRecord,
  isVoid,
  placeOf,
  type RegistryKeys,
  type Stored,
  type StoredEntry,
  voidTtl,
} from "./record.ts";

export interface Place {
  readonly service: string;
  readonly id: string;
  readonly registration: string;
}

interface WriteOptions {
  readonly lease: Lease | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The commits on the entries of one registry. Each checks what it has read, so that what arrives late is refused once anything has come after it. */
export class Entries {
  readonly root: Engine;
  readonly keys: RegistryKeys;
  readonly leases: Leases;

  constructor(root: Engine, keys: RegistryKeys, leases: Leases) {
    this.root = root;
    this.keys = keys;
    this.leases = leases;
  }

  /** Writes the first entry of a registration. `fresh`: the id is new, so nothing needs to be read. */
  async create({ service, id }: Place, record: InstanceRecord, fresh: boolean, options: WriteOptions): Promise<void> {
    const key = this.keys.instance(service, id);
    await this.#transact(options, async (tx) => {
      if (fresh) {
        const taken = () => new InvalidStateError(`instance ${id} of ${service}: the new id is taken already`);
        tx.check({ key, version: undefined }, { otherwise: taken });
      } else await tx.get(key);
      this.#set(tx, { service, id }, record);
    });
  }

  /**
   * Rewrites the entry of a registration, if it stands.
   * @throws ConflictError another has the id
   */
  async rewrite(
    place: Place,
    next: (record: InstanceRecord | undefined) => InstanceRecord | undefined,
    options: WriteOptions,
  ): Promise<InstanceRecord | undefined> {
    return await this.#transact(options, async (tx) => {
      const stored = await tx.get<Stored>(this.keys.instance(place.service, place.id));
      const present = stored && !isVoid(stored) ? stored : undefined;
      if (present && present.registration !== place.registration) throw replaced(place);
      const record = next(present);
      if (record) this.#set(tx, place, record);
      return record;
    });
  }

  /** Removes the entry if it is that of this registration, or whosesoever. `inDoubt`: a commit may still be under way and must not find the key as it was. */
  async remove(
    { service, id, registration }: Omit<Place, "registration"> & { readonly registration?: string },
    options: { readonly signal?: AbortSignal | undefined; readonly inDoubt?: boolean } = {},
  ): Promise<boolean> {
    const key = this.keys.instance(service, id);
    return await this.#transact({ lease: undefined, signal: options.signal }, async (tx) => {
      const stored = await tx.get<Stored>(key);
      const present = stored && !isVoid(stored) ? stored : undefined;
      const own = present !== undefined && (registration === undefined || present.registration === registration);
      if (options.inDoubt) {
        if (present && !own) this.#set(tx, { service, id }, present);
        else tx.set(key, { void: true } satisfies Stored, { ttl: voidTtl });
      } else if (own) tx.delete(key);
      return own;
    });
  }

  /** Removes it for good, however often that must be tried, until `enough` says that it is not worth while any more. */
  async removeAtLast(place: Place, inDoubt: boolean, enough: () => boolean): Promise<void> {
    const { runtime } = this.root;
    for (let failures = 0; !enough(); failures++) {
      try {
        await this.remove(place, { inDoubt });
        return;
      } catch (error) {
        if (!isAshlarError(error) || !worthRepeating(error)) return;
        if (!error.definite) inDoubt = true;
      }
      await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 1000 }), { ref: false });
    }
  }

  /** Removes those of the entries that stand under leases that have ended. */
  async sweep(entries: readonly Pick<StoredEntry, "key" | "version" | "value">[]): Promise<void> {
    await Promise.all(
      entries.map(async ({ key, version, value }) => {
        if (isVoid(value) || value.lease === undefined) return;
        const outcome = await this.root.kv.tryCommit({
          checks: [
            { key, version },
            { key: this.leases.keyOf(value.lease), version: undefined },
          ],
          mutations: [{ delete: key }],
        });
        if (outcome.ok && swept.hasSubscribers) swept.publish(placeOf(this.keys, key) satisfies RegistryMessage);
      }),
    );
  }

  #set(tx: Transaction, { service, id }: Omit<Place, "registration">, record: InstanceRecord): void {
    tx.set(this.keys.instance(service, id), record, record.ttl === undefined ? {} : { ttl: record.ttl });
  }

  #transact<T>({ lease, signal }: WriteOptions, fn: (tx: Transaction) => T | Promise<T>): Promise<T> {
    return this.root.transact(fn, { ...(lease && { fence: lease }), ...(signal && { signal }) });
  }
}

export function replaced({ service, id }: Omit<Place, "registration">): ConflictError {
  return new ConflictError(
    `instance ${JSON.stringify(id)} of ${JSON.stringify(service)}: another has registered under this id; give each process one of its own`,
    { details: { service, id } },
  );
}

/** An engine that is away, or an answer that was lost, for commits that may be made again. */
export function worthRepeating(error: { readonly code: string; readonly retryable: boolean }): boolean {
  return error.retryable || ["OUTCOME_UNKNOWN", "TIMEOUT", "CONFLICT"].includes(error.code);
}
