import type { Scenario } from "../../src/simulation/index.ts";

/** A mistake that people make, in a small system that has it and in one that does not. Both have the same properties. */
export interface PlantedBug {
  readonly name: string;
  /** The mistake, in one sentence. */
  readonly what: string;
  /** Seeds within which it is found: several times as many as it takes on average. */
  readonly within: number;
  readonly correct: Scenario;
  readonly planted: Scenario;
}
