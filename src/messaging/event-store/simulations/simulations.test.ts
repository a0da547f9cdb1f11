import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { eventStore } from "./event-store.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/event-store/simulations/event-store.sim.ts --seeds 1000` runs as many as one likes. */
test("streams are dense, what was acknowledged is there once, projections are the fold, under all faults that apply", async () => {
  await assertHolds(eventStore, { seeds: 12 });
});
