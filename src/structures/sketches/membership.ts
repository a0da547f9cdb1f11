import { invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";

/** A set that answers "surely not" or "probably". */
export interface MembershipSketch {
  /** False: surely never added. True: added, or with about the chance that was asked for, not. */
  has(key: string | Uint8Array): boolean;
  /** Bytes of memory. */
  readonly byteLength: number;
  /** In a stable format with a checksum. */
  toBytes(): Uint8Array;
}

export interface FilterOptions {
  /** How many different keys are expected: 1 to 100,000,000. With more, false answers become more frequent. */
  readonly capacity: number;
  /** Chance that a key that was not added is said to be there, when `capacity` keys are: 0.000001 to 0.5. Default 0.01. */
  readonly falsePositiveRate?: number;
  /** Filters are mergeable with others of the same seed. Default 0. */
  readonly seed?: number;
}

export function checkFilterOptions(options: FilterOptions): Required<FilterOptions> {
  refuseUnknown(options, ["capacity", "falsePositiveRate", "seed"]);
  const { capacity, falsePositiveRate = 0.01, seed = 0 } = options;
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > 1e8)
    throw invalidArgument("capacity", capacity, "a whole number from 1 to 100,000,000");
  if (!(falsePositiveRate >= 1e-6 && falsePositiveRate <= 0.5))
    throw invalidArgument("falsePositiveRate", falsePositiveRate, "a number from 0.000001 to 0.5");
  assertSeed(seed);
  return { capacity, falsePositiveRate, seed };
}

/** Seed of the second of two independent hashes of a key. */
export function secondSeed(seed: number): number {
  return (seed ^ 0x5bd1e995) >>> 0;
}
