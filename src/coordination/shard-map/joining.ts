import { fullJitter, isAshlarError, sleep } from "../../core/index.ts";
import type { Lease } from "../lease/index.ts";
import type { MapHost } from "./host.ts";
import { assertSameShards, type Config, type MemberEntry } from "./keys.ts";
import type { MapSettings, MemberSettings } from "./options.ts";
import { Ownership, type Stay } from "./ownership.ts";

/**
 * Writes the member's entry, while its lease lasts. Should it fail without a certain outcome, the entry is made void in the background.
 * @throws InvalidStateError the map has another number of shards
 */
export async function writeMember(
  host: MapHost,
  given: {
    readonly id: string;
    readonly lease: Lease;
    readonly map: MapSettings;
    readonly member: MemberSettings;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { root, keys, name } = host;
  const { id, lease, map, member, signal } = given;
  const { worker, weight, zone } = member;
  const entry: MemberEntry = { worker, weight, lease: lease.id, ...(zone !== undefined && { zone }) };
  try {
    await root.transact(
      async (tx) => {
        const config = await tx.get<Config>(keys.config);
        assertSameShards(name, config, map.shards);
        if (!config) tx.set(keys.config, { shards: map.shards } satisfies Config);
        tx.check({ key: keys.member(id), version: undefined });
        tx.set(keys.member(id), entry);
      },
      { fence: lease, signal },
    );
  } catch (error) {
    if (!isAshlarError(error) || !error.definite) void makeVoid(host, { id, worker, lease, letGo: () => {} }, entry);
    throw error;
  }
}

/**
 * What of the entry still arrives is refused, and what has arrived counts as nobody. What that nobody was given meanwhile goes to others: its lease may last, because the next stay shares it.
 */
async function makeVoid(host: MapHost, stay: Stay, entry: MemberEntry): Promise<void> {
  const { id, lease } = stay;
  await untilDone(host, lease, () =>
    host.root.kv.set(host.keys.member(id), { ...entry, void: true } satisfies MemberEntry, { ttl: "1h" }),
  );
  await giveUpAll(host, stay);
}

/** Gives away all that a stay was given that nobody heard of. */
export async function giveUpAll(host: MapHost, stay: Stay): Promise<void> {
  const ownership = new Ownership(host, stay, { onRevoke: undefined, grace: 0, onChange: () => {} });
  await untilDone(host, stay.lease, () => ownership.leave([]));
}

/** Tries again while the lease lasts; afterwards the others see to it. Resolves with whether it was done. */
export async function untilDone(host: MapHost, lease: Lease, attempt: () => Promise<unknown>): Promise<boolean> {
  const { runtime } = host.root;
  for (let failures = 0; lease.held; failures++) {
    try {
      await attempt();
      return true;
    } catch (error) {
      if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) return false;
    }
    await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 1000 }), { ref: false });
  }
  return false;
}
