import type { ShardMember, ShardView } from "../index.ts";

/** Resolves with the load of each worker once all shards are owned, by these workers, that many each. */
export async function settled(view: ShardView, expected: Readonly<Record<string, number>>): Promise<void> {
  const matches = (): boolean => {
    const load = view.load();
    const names = Object.keys(expected);
    return load.size === names.length && names.every((name) => load.get(name) === expected[name]);
  };
  for await (const _ of view.watch()) if (matches()) return;
  throw new Error("the view was closed before");
}

/** Who owns each shard, by number. */
export function ownersOf(view: ShardView): (string | undefined)[] {
  return Array.from({ length: view.shards }, (_, shard) => view.owner(shard)?.worker);
}

/** Resolves with what the member owns once it is that many shards. */
export async function owns(member: ShardMember, count: number): Promise<number[]> {
  for await (const owned of member.watch()) if (owned.size === count) return [...owned];
  throw new Error("the member was closed before");
}
