import type { Key } from "../../core/index.ts";
import type { Lease } from "../lease/index.ts";
import type { Entry, LockKeys, Share } from "./resource.ts";

/** One wish to hold some permits, all of them at once, from its first attempt to its release. Its id is never used again. */
export class Claim {
  readonly id: string;
  readonly lease: Lease;
  readonly shares: readonly Share[];
  readonly entry: Omit<Entry, "weight">;
  readonly #keys: LockKeys;
  /** Its place in the queues, once it waits. */
  place: number | undefined;
  /** Resolves when its latest commit has been answered, one way or the other. */
  settled: Promise<void> = Promise.resolve();
  /** Whether a commit of it has been applied, also one whose answer came when nobody waited for it any more. */
  written = false;
  /** Whether a commit of it may still arrive, its answer having been lost. */
  doubtful = false;

  constructor(
    keys: LockKeys,
    options: {
      readonly id: string;
      readonly lease: Lease;
      readonly shares: readonly Share[];
      readonly owner: string | undefined;
      readonly since: number;
    },
  ) {
    const { id, lease, shares, owner, since } = options;
    this.#keys = keys;
    this.id = id;
    this.lease = lease;
    this.shares = shares;
    this.entry = {
      lease: lease.id,
      since,
      ...(owner !== undefined && { owner }),
      ...(shares.length > 1 && { names: shares.length }),
    };
  }

  heldKey({ resource }: Share): Key {
    return this.#keys.held(resource, this.id);
  }

  placeKey({ resource }: Share): Key {
    if (this.place === undefined) throw new Error("bug: a claim that does not wait has no place");
    return this.#keys.place(resource, this.place, this.id);
  }
}
