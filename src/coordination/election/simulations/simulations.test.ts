import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { election } from "./election.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/election/simulations/election.sim.ts --seeds 1000` runs as many as one likes. */
test("at most one leads, and every candidate has its turn, under all faults that apply", async () => {
  await assertHolds(election, { seeds: 15 });
});
