import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { compaction, hasty } from "./compaction.sim.ts";
import { stream } from "./stream.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/stream/simulations/stream.sim.ts --seeds 1000` runs as many as one likes. */
test("every record takes effect once, in the order of its partition, whoever owns it, under all faults that apply", async () => {
  const { undecided } = await assertHolds(stream, { seeds: 15 });
  assert.equal(undecided, 0);
});

test("compaction keeps the latest record of each key, under all faults that apply", async () => {
  for (const scenario of [compaction, hasty]) {
    const { undecided } = await assertHolds(scenario, { seeds: 10 });
    assert.equal(undecided, 0);
  }
});
