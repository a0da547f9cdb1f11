import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { sequence } from "./sequence.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/sequence/simulations/sequence.sim.ts --seeds 1000` runs as many as one likes. */
test("numbers are given out once, and to everybody, under all faults that apply", async () => {
  await assertHolds(sequence, { seeds: 20 });
});
