import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { schedule } from "./schedule.sim.ts";

/** A few seeds; `ashlar simulate src/durable/schedule/simulations/schedule.sim.ts --seeds 1000` runs as many as one likes. */
test("steps take effect once, messages come in order, sagas leave nothing half done, under all faults that apply", async () => {
  await assertHolds(schedule, { seeds: 15 });
});
