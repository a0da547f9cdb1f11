import { after, describe, test } from "node:test";
import { type Conformance, type ConformanceTarget, conformance } from "./suite.ts";

/**
 * Registers the suite with Node's test runner, a few cases at a time. What cannot be asked of the engine is skipped with its reason.
 * @param name what is tested, for the report: "the memory engine"
 */
export function runConformance(name: string, target: ConformanceTarget): void {
  describe(name, { concurrency: 6 }, () => {
    const suite: Conformance = conformance(target);
    after(async () => await suite[Symbol.asyncDispose]());
    for (const each of suite.cases) {
      test(`${each.contract}: ${each.name}`, async (t) => {
        const reason = await each.notAsked();
        if (reason === undefined) await each.run();
        else t.skip(reason);
      });
    }
  });
}
