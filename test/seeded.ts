import { createChance } from "../src/engine/conformance/chance.ts";

/** Numbers of chance that a seed repeats. */
export interface Seeded {
  /** From 0 (inclusive) to 1 (exclusive). */
  next(): number;
  /** A whole number from `from` to `to`, both inclusive. */
  integer(from: number, to: number): number;
  /** One of them. */
  pick<T>(items: readonly T[]): T;
}

export function seeded(seed: number): Seeded {
  const { next } = createChance(seed);
  const integer = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return { next, integer, pick: (items) => items[integer(0, items.length - 1)] as (typeof items)[number] };
}
