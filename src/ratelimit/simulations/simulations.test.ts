import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds, type Scenario } from "../../simulation/index.ts";
import { exact } from "./exact.sim.ts";
import { leased } from "./leased.sim.ts";
import { together } from "./take-all.sim.ts";

/** A few seeds each; `ashlar simulate src/ratelimit/simulations/… --seeds 1000` runs as many as one likes. */
const seeds = 20;
const scenarios: readonly Scenario[] = [exact, leased, together];

for (const scenario of scenarios) {
  test(`${scenario.name}: holds under all faults that apply`, async () => {
    const exploration = await assertHolds(scenario, { seeds });
    assert.equal(exploration.undecided, 0);
  });
}
