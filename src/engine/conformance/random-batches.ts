import type { Key, KeyRange } from "../../core/index.ts";
import type { Batch, Check, Mutation, Version } from "../contract.ts";
import type { Chance } from "./chance.ts";
import { numbers } from "./entries.ts";

/** So few keys that batches meet one another. */
export const fewKeys: readonly Key[] = [
  ["a"],
  ["a", 1],
  ["a", 1, "x"],
  ["a", 2],
  ["ab"],
  ["b", -1],
  ["b", 0],
  ["b", 0, true],
  ["b", 300],
  ["c", new Uint8Array([0, 255])],
];

/** What a writer knows of the store, maybe out of date. */
export interface Knowledge {
  readonly version: (key: Key) => Version | undefined;
  readonly entries: (range: KeyRange) => readonly { readonly key: Key; readonly version: Version }[];
  /** Some version that once was. */
  readonly old: () => Version | undefined;
}

export function randomRange(chance: Chance): KeyRange {
  const key = (): Key => chance.pick(fewKeys);
  switch (chance.below(6)) {
    case 0:
      return { prefix: chance.pick<Key>([[], ["a"], ["b"], ["a", 1], ["none"]]) };
    case 1:
      return { key: key() };
    case 2:
      return { start: key(), end: key() };
    case 3:
      return { after: key() };
    case 4:
      return { prefix: ["a"], end: key() };
    default:
      return { prefix: ["b"], start: key() };
  }
}

export function randomBatch(chance: Chance, knowledge: Knowledge): Batch {
  const checks = numbers(chance.pick([0, 0, 1, 1, 2, 3])).map(() => randomCheck(chance, knowledge));
  const targets = fewKeys.filter(() => chance.hits(0.25));
  const mutations = targets.map((key) => randomMutation(chance, key));
  if (chance.hits(0.2))
    mutations.push({ append: chance.pick<string | Key>(["t", ["t", 1]]), records: numbers(chance.below(3) + 1) });
  return { checks, mutations };
}

function randomCheck(chance: Chance, { version, entries, old }: Knowledge): Check {
  if (chance.hits(0.4)) {
    const range = randomRange(chance);
    const known = entries(range);
    // Mostly what was read, sometimes a part of it.
    return { range, entries: chance.hits(0.85) ? known : known.filter(() => chance.hits(0.7)) };
  }
  const key = chance.pick(fewKeys);
  if (chance.hits(0.15)) return { key, present: true };
  return { key, version: chance.hits(0.8) ? version(key) : chance.hits(0.5) ? old() : undefined };
}

function randomMutation(chance: Chance, key: Key): Mutation {
  const number = chance.below(10) - 3;
  switch (chance.below(6)) {
    case 0:
      return { delete: key };
    case 1:
      return { set: key, value: chance.pick([null, "text", { n: number }, 1.5]) };
    case 2:
    case 3:
      return { set: key, value: number };
    default:
      return {
        add: key,
        delta: number,
        ...(chance.hits(0.3) && { floor: chance.below(10) - 5 }),
        ...(chance.hits(0.3) && { ceiling: chance.below(15) }),
      };
  }
}
