import { type Runtime, systemRuntime } from "../../core/index.ts";

/** The system's runtime with chance drawn from a seed (mulberry32), so that a failing run can be repeated as far as time allows. */
export function seededRuntime(seed: number): Runtime {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    ...systemRuntime,
    random: { next, bytes: (n) => Uint8Array.from({ length: n }, () => Math.floor(next() * 256)) },
  };
}
