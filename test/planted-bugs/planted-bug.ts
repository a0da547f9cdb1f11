import type { Scenario } from "../../src/simulation/index.ts";

/** A mistake that people make, in a small system that has it and in one that does not. Both have the same properties. */
export interface PlantedBug {
  readonly name: string;
  /** The mistake, in one sentence. */
  readonly what: string;
  readonly correct: Scenario;
  readonly planted: Scenario;
}
