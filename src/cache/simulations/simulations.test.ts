import { test } from "node:test";
import { assertHolds, type Exploration } from "../../simulation/index.ts";
import { singleFlight } from "./single-flight.sim.ts";
import { staleness } from "./staleness.sim.ts";
import { writeBehind } from "./write-behind.sim.ts";

/** A few seeds each; `ashlar simulate src/cache/simulations/… --seeds 1000` runs as many as one likes. */
for (const scenario of [staleness, singleFlight, writeBehind]) {
  test(`${scenario.name}: holds under all faults that apply`, async (t) => {
    const { struck }: Exploration = await assertHolds(scenario, { seeds: 12 });
    t.diagnostic(
      Object.entries(struck)
        .map(([kind, count]) => `${kind} ${count}`)
        .join(", "),
    );
  });
}
