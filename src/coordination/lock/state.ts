import type { Entry as StoredEntry } from "../../engine/index.ts";
import type { Claims } from "./claims.ts";
import type { Entry, Resource } from "./resource.ts";

/** Who holds and who waits, for people: as of a moment that has passed when it is read. */
export interface LockState {
  readonly holders: readonly Claimant[];
  /** In the order of their turns. */
  readonly waiting: readonly Claimant[];
}

export interface Claimant {
  /** Who it is, if it said so. */
  readonly owner: string | undefined;
  /** Permits. */
  readonly weight: number;
  /** When it came, by its own wall clock, milliseconds since the epoch. */
  readonly since: number;
  /** Whether its process still renews its lease; one that does not will be passed over. */
  readonly alive: boolean;
}

/** The first thousand holders and waiters. */
export async function stateOf(
  claims: Claims,
  resource: Resource,
  options: { readonly signal?: AbortSignal },
): Promise<LockState> {
  const { keys } = claims.commits;
  const alive = new Map<string, boolean>();
  const read = async (prefix: ReturnType<typeof keys.queue>): Promise<Claimant[]> => {
    const found: Claimant[] = [];
    for await (const { value } of claims.root.kv.list<Entry>({ prefix }, { ...options, limit: 1000 }) as AsyncIterable<
      StoredEntry<Entry>
    >) {
      let lives = alive.get(value.lease);
      if (lives === undefined) {
        lives = await claims.leases.lives(value.lease, options);
        alive.set(value.lease, lives);
      }
      found.push({ owner: value.owner, weight: value.weight, since: value.since, alive: lives });
    }
    return found;
  };
  return { holders: await read(keys.allHeld(resource)), waiting: await read(keys.queue(resource)) };
}
