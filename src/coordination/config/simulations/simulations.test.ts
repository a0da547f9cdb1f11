import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { config } from "./config.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/config/simulations/config.sim.ts --seeds 1000` runs as many as one likes. */
test("no update is lost, and all who watch come to the last version, under all faults that apply", async () => {
  const { undecided } = await assertHolds(config, { seeds: 20 });
  assert.equal(undecided, 0);
});
