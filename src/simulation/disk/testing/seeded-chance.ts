import type { DiskChance } from "../disk-faults.ts";

/** Draws everything from one stream of numbers: Mulberry32 (T. Ettinger). */
export function createSeededChance(seed: number): DiskChance {
  let state = Math.imul(seed + 1, 0x9e3779b9);

  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  return {
    hits: (_label, probability) => probability > 0 && next() < probability,
    below: (_label, n) => Math.floor(next() * n),
    between: (_label, low, high) => low + next() * (high - low),
  };
}

type Answer = boolean | number;

/**
 * Answers that a test fixes by label, a list of them being given one after another: a probability of 0 never hits, one of 1
 * always, others as told or not at all; numbers are as told or the lowest.
 */
export function createFixedChance(answers: Readonly<Record<string, Answer | Answer[]>> = {}): DiskChance {
  function answer(label: string): Answer | undefined {
    const found = answers[label];
    return Array.isArray(found) ? found.shift() : found;
  }

  return {
    hits: (label, probability) => probability > 0 && (probability >= 1 || answer(label) === true),
    below: (label, n) => Math.min(n - 1, Number(answer(label) ?? 0)),
    between: (label, low) => Number(answer(label) ?? low),
  };
}
