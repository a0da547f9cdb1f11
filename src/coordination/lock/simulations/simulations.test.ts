import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { lock } from "./lock.sim.ts";
import { readWriteLock } from "./read-write-lock.sim.ts";
import { semaphore } from "./semaphore.sim.ts";

/** A few seeds each; `ashlar simulate src/coordination/lock/simulations/… --seeds 1000` runs as many as one likes. */
for (const scenario of [lock, readWriteLock, semaphore]) {
  test(`${scenario.name}: exclude each other and serve everybody under all faults that apply`, async () => {
    await assertHolds(scenario, { seeds: 20 });
  });
}

test("a claim whose grant comes after its timeout is taken back", async () => {
  await assertHolds(lock, { seeds: 1, from: 147 });
});
