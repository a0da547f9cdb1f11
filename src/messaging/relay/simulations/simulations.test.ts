import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { relay } from "./relay.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/relay/simulations/relay.sim.ts --seeds 1000` runs as many as one likes. */
test("every message reaches the receiver, under one id and in the order of its key, under all faults that apply", async () => {
  await assertHolds(relay, { seeds: 15 });
});
