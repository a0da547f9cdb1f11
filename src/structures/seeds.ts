import { invalidArgument } from "../core/index.ts";

/** @throws InvalidArgumentError unless it is an integer of 32 bits */
export function assertSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
    throw invalidArgument("seed", seed, "a whole number from 0 to 4,294,967,295");
}
