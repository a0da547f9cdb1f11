import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { barrier } from "./barrier.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/barrier/simulations/barrier.sim.ts --seeds 1000` runs as many as one likes. */
test("those who pass are those who have come, under all faults that apply", async () => {
  await assertHolds(barrier, { seeds: 20 });
});

test("a coming whose answer was lost is not made again in the next generation before the first is known to be over", async () => {
  await assertHolds(barrier, { seeds: 1, from: 23 });
});
