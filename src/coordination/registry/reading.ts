import { keyName } from "../../core/index.ts";
import type { Instance } from "./contract.ts";
import type { Entries } from "./entries.ts";
import { isVoid, placeOf, type Stored, type StoredEntry, toInstance } from "./record.ts";

type Options = { readonly signal?: AbortSignal };

/** The instances of the service that live, in order of their ids. */
export async function liveInstances(entries: Entries, service: string, options: Options): Promise<Instance[]> {
  const found = await Array.fromAsync(entries.root.kv.list<Stored>({ prefix: entries.keys.service(service) }, options));
  const alive = await whichLive(entries, found, options);
  return alive.map(({ key, value }) => toInstance(service, placeOf(entries.keys, key).id, value));
}

/** The services that have instances that live, in order. */
export async function liveServices(entries: Entries, options: Options): Promise<string[]> {
  const found = await Array.fromAsync(entries.root.kv.list<Stored>({ prefix: entries.keys.base }, options));
  const alive = await whichLive(entries, found, options);
  return [...new Set(alive.map(({ key }) => placeOf(entries.keys, key).service))];
}

type LiveEntry = StoredEntry & { readonly value: Exclude<Stored, { readonly void: true }> };

async function whichLive(entries: Entries, found: readonly StoredEntry[], options: Options): Promise<LiveEntry[]> {
  const { root, leases } = entries;
  const current = found.filter((entry): entry is LiveEntry => !isVoid(entry.value));
  const named = (some: readonly LiveEntry[]) => some.flatMap(({ value }) => value.lease ?? []);
  const living = await leases.living(named(current), options);
  const lives = ({ value }: LiveEntry, among: ReadonlySet<string>) =>
    value.lease === undefined || among.has(value.lease);
  const dead = current.filter((entry) => !lives(entry, living));
  if (dead.length === 0) return current;
  // Between the two reads one may have registered anew under another lease.
  const again: LiveEntry[] = [];
  const { operations } = root.limits;
  for (let i = 0; i < dead.length; i += operations) {
    const keys = dead.slice(i, i + operations).map(({ key }) => key);
    const entriesNow = await root.kv.getMany<Stored>(keys, options);
    for (const entry of entriesNow) if (entry && !isVoid(entry.value)) again.push(entry as LiveEntry);
  }
  const livingNow = await leases.living(named(again), options);
  const revived = new Map(again.filter((entry) => lives(entry, livingNow)).map((entry) => [keyName(entry.key), entry]));
  sweepSome(
    entries,
    again.filter((entry) => !lives(entry, livingNow)),
  );
  return current.flatMap((entry) => (lives(entry, living) ? entry : (revived.get(keyName(entry.key)) ?? [])));
}

/** In passing; whoever reads next sees to the rest. */
function sweepSome(entries: Entries, dead: readonly StoredEntry[]): void {
  entries.sweep(dead.slice(0, 20)).catch(() => {});
}
