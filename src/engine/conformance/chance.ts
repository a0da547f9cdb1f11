/** Repeatable chance: the same seed gives the same draws. */
export interface Chance {
  readonly seed: number;
  /** Uniform in [0, 1). */
  next(): number;
  /** A whole number, uniform in [0, below). */
  below(below: number): number;
  /** True with this probability. */
  hits(probability: number): boolean;
  pick<T>(from: readonly [T, ...T[]] | readonly T[]): T;
}

/** Draws by mulberry32 (Tommy Ettinger), which is plenty for tests. */
export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    seed,
    next,
    below,
    hits: (probability) => next() < probability,
    pick: <T>(from: readonly T[]): T => from[below(from.length)] as T,
  };
}
