/** A source of chance of its own, so that who draws more often changes nothing for others. */
export interface Dice {
  /** Uniform in [0, 1). */
  next(): number;
  /** A whole number, uniform in [0, n). */
  below(n: number): number;
  /** True with this probability. */
  hits(probability: number): boolean;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  /** Exponentially distributed with this mean: memoryless waits. */
  exponential(mean: number): number;
  pick<T>(from: readonly T[]): T;
}

/** Draws by sfc32 (Chris Doty-Humphrey, PractRand), seeded from the seed and a name: equal names give equal draws. */
export function createDice(seed: number, name: string): Dice {
  let a = hashText(name, seed >>> 0);
  let b = hashText(name, Math.floor(seed / 2 ** 32) ^ 0x9e3779b9);
  let c = hashText(name, 0x243f6a88) ^ seed;
  let counter = 1;
  const bits = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return t >>> 0;
  };
  // The first outputs still show the seed.
  for (let i = 0; i < 12; i++) bits();
  const next = (): number => bits() / 2 ** 32;
  const below = (n: number): number => Math.floor(next() * n);
  return {
    next,
    below,
    hits: (probability) => probability > 0 && next() < probability,
    between: (low, high) => low + (high - low) * next(),
    exponential: (mean) => -Math.log(1 - next()) * mean,
    pick: <T>(from: readonly T[]): T => from[below(from.length)] as T,
  };
}

/** FNV-1a over UTF-16 code units, with a last mix (murmur3's). */
export function hashText(text: string, basis = 0x811c9dc5): number {
  let hash = basis | 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** Every input bit changes about half of the output bits (the finaliser of MurmurHash3, Austin Appleby). */
export function mix(hash: number): number {
  let mixed = hash | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) | 0;
}
