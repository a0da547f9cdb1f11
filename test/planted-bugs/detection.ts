import { type Failure, type Scenario, simulate } from "../../src/simulation/index.ts";

/** How a bug was found. */
export interface Detection {
  /** Seeds that were run, the one that found it included. */
  readonly seeds: number;
  readonly seed: number;
  readonly failure: Failure;
}

/** Runs one seed after another until one fails; `undefined` if none of `limit` does. */
export async function detect(scenario: Scenario, from: number, limit: number): Promise<Detection | undefined> {
  for (let seed = from; seed < from + limit; seed++) {
    const { failure } = await simulate({ ...scenario, seed });
    if (failure) return { seeds: seed - from + 1, seed, failure };
  }
  return undefined;
}

/** Which property says that something is wrong, in a few words. */
export function propertyOf({ kind, subject }: Failure): string {
  if (kind === "stuck") return "stuck";
  return kind === "check" ? subject : `${kind}: ${subject}`;
}
