import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { idempotency } from "./idempotency.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/idempotency/simulations/idempotency.sim.ts --seeds 1000` runs as many as one likes. */
test("one answer for each key, and the effect of a transaction once, under all faults that apply", async () => {
  const { undecided } = await assertHolds(idempotency, { seeds: 20 });
  assert.equal(undecided, 0);
});
