/** Somebody who may own shards. */
export interface Owner {
  readonly id: string;
  /** Its part in proportion to those of the others; 0: none. */
  readonly weight: number;
}

/** Fractions below this stem from rounding. */
const tiny = 1e-9;

/**
 * Who should own each shard: everybody as many as its weight says, rounded down or up, with as few moves as that allows. The same answer for the same question, and no move at all if
 * the result is asked about again.
 * @param current the owner of each shard now, `undefined` if nobody's; who is not among the owners gives everything away
 */
export function rebalance(
  current: readonly (string | undefined)[],
  owners: readonly Owner[],
): readonly (string | undefined)[] {
  const held = new Map<string, number>();
  for (const owner of current) if (owner !== undefined) held.set(owner, (held.get(owner) ?? 0) + 1);
  const room = quotas(current.length, owners, held);
  if (room.size === 0) return current.map(() => undefined);
  const kept = current.map((owner) => {
    const left = owner === undefined ? 0 : (room.get(owner) ?? 0);
    if (owner === undefined || left === 0) return undefined;
    room.set(owner, left - 1);
    return owner;
  });
  return kept.map((owner) => owner ?? takeFrom(room));
}

/** How many each is to own. Those who have more than their quota rounded down are the first to have it rounded up: the others would have to be given what is taken from them. */
function quotas(shards: number, owners: readonly Owner[], held: ReadonlyMap<string, number>): Map<string, number> {
  const taking = owners.filter(({ weight }) => weight > 0);
  const sum = taking.reduce((total, { weight }) => total + weight, 0);
  const shares = taking.map(({ id, weight }) => {
    const exact = (shards * weight) / sum;
    const whole = Math.floor(exact + tiny);
    return { id, whole, fraction: Math.max(0, exact - whole), over: (held.get(id) ?? 0) > whole };
  });
  let left = shards - shares.reduce((total, { whole }) => total + whole, 0);
  const quota = new Map(shares.map(({ id, whole }) => [id, whole]));
  shares.sort(
    (a, b) =>
      Number(b.fraction > tiny) - Number(a.fraction > tiny) ||
      Number(b.over) - Number(a.over) ||
      b.fraction - a.fraction ||
      (a.id < b.id ? -1 : 1),
  );
  for (const { id, whole } of shares) if (left-- > 0) quota.set(id, whole + 1);
  return quota;
}

/** Takes a place from whoever has most left; the first by id among equals. */
function takeFrom(room: Map<string, number>): string | undefined {
  let best: string | undefined;
  let most = 0;
  for (const [id, left] of room) {
    if (left > most || (left === most && left > 0 && best !== undefined && id < best)) {
      best = id;
      most = left;
    }
  }
  if (best !== undefined) room.set(best, most - 1);
  return best;
}
