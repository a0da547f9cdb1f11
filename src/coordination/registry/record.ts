import { type Key, keyName } from "../../core/index.ts";
import type { Entry } from "../../engine/index.ts";
import type { Address, Health, Instance, InstanceChanges, InstanceOptions } from "./contract.ts";

/**
 * The keys of one registry.
 *
 * | key, after the namespace and `["registry", name]` | value |
 * |---|---|
 * | service, id | `Stored` |
 *
 * Invariants: an entry that names a lease was written under a check that the lease was there. It is changed by its own registration, replaced by a later one under the same
 * id, and removed by either, by an operator, or by anybody once its lease has ended.
 */
export class RegistryKeys {
  readonly base: Key;

  constructor(namespace: Key, name: string) {
    this.base = [...namespace, "registry", name];
  }

  get name(): string {
    return keyName(this.base);
  }

  service(service: string): Key {
    return [...this.base, service];
  }

  instance(service: string, id: string): Key {
    return [...this.base, service, id];
  }
}

/** What stands in the store for an instance. */
export interface InstanceRecord {
  /** Of the registration: who has it under the same id is another. */
  readonly registration: string;
  /** One more with each change. */
  readonly revision: number;
  /** It lives as long as this lease; absent: as long as the entry is there. */
  readonly lease?: string;
  /** Of an entry that expires: milliseconds. */
  readonly ttl?: number;
  readonly address: Address;
  readonly zone?: string;
  readonly version?: string;
  readonly weight: number;
  readonly health: Health;
  readonly metadata: Readonly<Record<string, string>>;
  readonly since: number;
}

/** A registration that was given up while a commit of it was in doubt: what of it still arrives is refused, because something stands here. Nobody's instance. */
export interface VoidRecord {
  readonly void: true;
}

export type Stored = InstanceRecord | VoidRecord;

/** How long a void record stays: longer than any commit is under way. */
export const voidTtl = "1h";

export function isVoid(stored: Stored): stored is VoidRecord {
  return "void" in stored;
}

/** Service and id of an entry's key. */
export function placeOf(keys: RegistryKeys, key: Key): { readonly service: string; readonly id: string } {
  const [service, id] = key.slice(keys.base.length) as [string, string];
  return { service, id };
}

export type Described = Omit<InstanceRecord, "registration" | "revision" | "lease" | "ttl" | "since">;

/** The options are valid. */
export function describe(options: InstanceOptions): Described {
  const { address, zone, version, weight = 1, health = "passing", metadata = {} } = options;
  return {
    address: typeof address === "string" ? address : { host: address.host, port: address.port },
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    weight,
    health,
    metadata: { ...metadata },
  };
}

/** The changes are valid. */
export function change<D extends Described>(described: D, { weight, health, metadata }: InstanceChanges): D {
  return {
    ...described,
    ...(weight !== undefined && { weight }),
    ...(health !== undefined && { health }),
    ...(metadata !== undefined && { metadata: { ...metadata } }),
  };
}

export function toInstance(service: string, id: string, record: InstanceRecord): Instance {
  const { address, zone, version, weight, health, metadata, since } = record;
  return Object.freeze({
    service,
    id,
    address: typeof address === "string" ? address : Object.freeze(address),
    zone,
    version,
    weight,
    health,
    metadata: Object.freeze(metadata),
    since,
  });
}

/** Whether both say the same of the same registration; a heartbeat rewrites an entry without changing it. */
export function sameRecord(a: InstanceRecord, b: InstanceRecord): boolean {
  return a.registration === b.registration && a.revision === b.revision && a.lease === b.lease;
}

export type StoredEntry = Entry<Stored>;
