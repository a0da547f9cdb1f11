import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { topic } from "./topic.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/topic/simulations/topic.sim.ts --seeds 1000` runs as many as one likes. */
test("every event takes effect once in each subscription that wants it, in order of keys, under all faults that apply", async () => {
  const { undecided } = await assertHolds(topic, { seeds: 15 });
  assert.equal(undecided, 0);
});
