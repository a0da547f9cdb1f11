import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { registry } from "./registry.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/registry/simulations/registry.sim.ts --seeds 1000` runs as many as one likes. */
test("views show what lives and converge, under all faults that apply", async () => {
  await assertHolds(registry, { seeds: 20 });
});
