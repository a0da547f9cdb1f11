import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { queue } from "./queue.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/queue/simulations/queue.sim.ts --seeds 1000` runs as many as one likes. */
test("no job is lost, none takes effect twice, order is kept, under all faults that apply", async () => {
  const { undecided } = await assertHolds(queue, { seeds: 20 });
  assert.equal(undecided, 0);
});

test("a parent that is cancelled in the moment in which it becomes ready leaves nothing behind (seed 977)", async () => {
  await assertHolds(queue, { from: 977, seeds: 1 });
});
