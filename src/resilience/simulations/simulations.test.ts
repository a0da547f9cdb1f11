import { test } from "node:test";
import { assertHolds } from "../../simulation/index.ts";
import { policies } from "./policies.sim.ts";

/** A few seeds; `ashlar simulate src/resilience/simulations/policies.sim.ts --seeds 1000` runs as many as one likes. */
test("deadlines, budgets, bulkheads and breakers hold, and calls succeed again, under all faults that apply", async () => {
  await assertHolds(policies, { seeds: 12 });
});
