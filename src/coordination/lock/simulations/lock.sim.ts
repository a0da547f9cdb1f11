import type { Scenario } from "../../../simulation/index.ts";
import { createLocks } from "../locks.ts";
import { holders } from "./holders.ts";

/** Machines that want one lock, the other, or both, in either order. */
export const lock: Scenario = holders({
  name: "locks",
  resources: ["a", "b"].map((name) => ({ kind: "lock", name, permits: 1 })),
  acquire: async ({ engine, runtime }) => {
    const locks = createLocks(engine, { ttl: "2s" });
    const names = [["a"], ["a"], ["b"], ["a", "b"], ["b", "a"]][Math.floor(runtime.random.next() * 5)] as string[];
    const shares = Object.fromEntries(names.map((name) => [name, 1]));
    const hold =
      runtime.random.next() < 0.2
        ? await locks.tryAcquire(names, { timeout: "5s" })
        : await locks.acquire(names, { timeout: runtime.random.next() < 0.2 ? 200 : "20s" });
    return hold && { hold, shares };
  },
});
