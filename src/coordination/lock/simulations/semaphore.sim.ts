import type { Scenario } from "../../../simulation/index.ts";
import { createSemaphore } from "../semaphore.ts";
import { holders } from "./holders.ts";

const all = 3;

/** Who wants one permit, and who wants more. */
export const semaphore: Scenario = holders({
  name: "semaphore",
  resources: [{ kind: "semaphore", name: "pool", permits: all }],
  acquire: async ({ engine, runtime }) => {
    const pool = createSemaphore(engine, "pool", { permits: all, ttl: "2s" });
    const timeout = runtime.random.next() < 0.2 ? 200 : "20s";
    const permits = 1 + Math.floor(runtime.random.next() ** 2 * all);
    const hold =
      runtime.random.next() < 0.2
        ? await pool.tryAcquire({ timeout, permits })
        : await pool.acquire({ timeout, permits });
    return hold && { hold, shares: { pool: permits } };
  },
});
