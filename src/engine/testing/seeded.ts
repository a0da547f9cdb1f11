import { type Runtime, systemRuntime } from "../../core/index.ts";
import { createChance } from "../conformance/chance.ts";

/** The system's runtime with chance drawn from a seed, so that a failing run can be repeated as far as time allows. */
export function seededRuntime(seed: number): Runtime {
  const { next } = createChance(seed);
  return {
    ...systemRuntime,
    random: { next, bytes: (n) => Uint8Array.from({ length: n }, () => Math.floor(next() * 256)) },
  };
}
