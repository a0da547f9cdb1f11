import { hash32, type Key } from "../../core/index.ts";

/**
 * What can be held: a number of permits under a name. A lock has one; a read–write lock has so many that each reader takes one and a
 * writer takes all; a semaphore has as many as it was made with.
 */
export interface Resource {
  readonly kind: "lock" | "read-write" | "semaphore";
  readonly name: string;
  readonly permits: number;
}

/** Permits of a resource that are held, or wanted, together with those of other resources, by one claim. */
export interface Share {
  readonly resource: Resource;
  readonly weight: number;
}

/**
 * The keys of one namespace.
 *
 * | key, after the namespace and `"lock"` | value | |
 * |---|---|---|
 * | kind, name, `"held"`, claim | `Entry` | who holds permits. Never rewritten |
 * | kind, name, `"queue"`, place, claim | `Entry` | who waits, in order of place: the engine's clock in microseconds, as estimated when it came |
 * | kind, name, `"used"` | integer | Σ weight of what is held; absent: 0. Not for locks, where what is held says it all |
 * | `"token"`, shard | integer | the greatest fencing token given out for any name of this shard |
 * | `"void"`, claim | true | a claim that was given up while a commit of it was in doubt: what of it still arrives is refused |
 * | `"swept"` | true | somebody has looked for what dead processes left behind; gone after a while |
 *
 * Invariant: at every commit, the weights of what is held of a name sum up to its `used`, which is at most its permits.
 */
export class LockKeys {
  readonly #base: Key;

  constructor(namespace: Key) {
    this.#base = [...namespace, "lock"];
  }

  get base(): Key {
    return this.#base;
  }

  /** Everything of one name. */
  all({ kind, name }: Resource): Key {
    return [...this.#base, kind, name];
  }

  allHeld({ kind, name }: Resource): Key {
    return [...this.#base, kind, name, "held"];
  }

  held(resource: Resource, claim: string): Key {
    return [...this.allHeld(resource), claim];
  }

  queue({ kind, name }: Resource): Key {
    return [...this.#base, kind, name, "queue"];
  }

  place(resource: Resource, place: number, claim: string): Key {
    return [...this.queue(resource), place, claim];
  }

  used({ kind, name }: Resource): Key {
    return [...this.#base, kind, name, "used"];
  }

  token({ kind, name }: Resource): Key {
    return [...this.#base, "token", hash32(`${kind} ${name}`) % shards];
  }

  voided(claim: string): Key {
    return [...this.#base, "void", claim];
  }

  get swept(): Key {
    return [...this.#base, "swept"];
  }
}

/** What stands in the store for permits that are held or waited for. */
export interface Entry {
  /** The id of the lease under which it stands; if that has ended, anybody may remove it. */
  readonly lease: string;
  readonly weight: number;
  /** Who it is, for people; absent: nobody said. */
  readonly owner?: string;
  /** When it was written, by the owner's wall clock, for people. */
  readonly since: number;
  /** How many names its claim is for, if more than one: then it holds all or none. */
  readonly names?: number;
}

/**
 * Counters of tokens are shared by all names of a shard, so that a name that is not used any more leaves nothing behind. A token is greater than those before it for the
 * same name; it need not be the next.
 */
const shards = 64;
