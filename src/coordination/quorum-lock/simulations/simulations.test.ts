import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { quorumLock } from "./quorum-lock.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/quorum-lock/simulations/quorum-lock.sim.ts --seeds 1000` runs as many as one likes. */
test("one holder at a time, ascending tokens, and everybody is served, whatever minority fails", async () => {
  await assertHolds(quorumLock, { seeds: 20 });
});
