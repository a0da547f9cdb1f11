import { test } from "node:test";
import { assertHolds } from "../../../simulation/index.ts";
import { shardMap } from "./shard-map.sim.ts";

/** A few seeds; `ashlar simulate src/coordination/shard-map/simulations/shard-map.sim.ts --seeds 1000` runs as many as one likes. */
test("a shard has one owner, and shards are spread evenly again after all faults that apply", async () => {
  await assertHolds(shardMap, { seeds: 20 });
});
