import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { workflow } from "./workflow.sim.ts";

/** A few seeds; `ashlar simulate src/durable/workflow/simulations/workflow.sim.ts --seeds 1000` runs as many as one likes. */
test("steps take effect once, messages come in order, sagas leave nothing half done, under all faults that apply", async () => {
  await assertHolds(workflow, { seeds: 15 });
});

test("a child that is on its way into the store when its parent ends is dealt with like the others (seed 16)", async () => {
  await assertHolds(workflow, { from: 16, seeds: 1 });
});
