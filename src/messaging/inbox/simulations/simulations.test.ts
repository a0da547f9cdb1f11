import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { inbox } from "./inbox.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/inbox/simulations/inbox.sim.ts --seeds 1000` runs as many as one likes. */
test("every message takes effect once, under all faults that apply", async () => {
  await assertHolds(inbox, { seeds: 20 });
});
