import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { changeFeed } from "./change-feed.sim.ts";

/** A few seeds; `ashlar simulate src/messaging/change-feed/simulations/change-feed.sim.ts --seeds 1000` runs as many as one likes. */
test("the feed tells every key's last state, in order and each version once, under all faults that apply", async () => {
  await assertHolds(changeFeed, { seeds: 15 });
});
