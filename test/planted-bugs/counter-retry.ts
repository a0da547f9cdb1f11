import { linearizable } from "../../src/check/index.ts";
import { counter } from "../../src/check/models/counter.ts";
import { isAshlarError } from "../../src/core/index.ts";
import type { Scenario, SimulatedClient } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";

/** Clients count in the store. An answer that is lost says nothing about whether the commit took place. */
function counting(add: (client: SimulatedClient) => Promise<number | undefined>): Scenario {
  return {
    name: "counter with retries",
    faults: ["engine", "network", "code"],
    workload: {
      clients: 3,
      operations: 12,
      async operation(client) {
        if (client.runtime.random.next() < 0.3) {
          await client.record({ name: "read" }, async () => (await client.engine.kv.get<number>(["sum"]))?.value ?? 0);
        } else await client.record({ name: "add", input: 1 }, () => add(client));
      },
    },
    checks: [linearizable(counter)],
  };
}

async function addOnce({ engine }: SimulatedClient): Promise<undefined> {
  await engine.transact(async (tx) => {
    tx.set(["sum"], ((await tx.get<number>(["sum"])) ?? 0) + 1);
  });
}

async function addAgain({ engine }: SimulatedClient): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await engine.kv.add(["sum"], 1);
    } catch (error) {
      const isRetryable = isAshlarError(error, "OUTCOME_UNKNOWN") || isAshlarError(error, "UNAVAILABLE");
      if (!isRetryable || attempt === 5) throw error;
    }
  }
}

export const counterRetry: PlantedBug = {
  name: "blind-retry",
  what: "a counter is incremented again when the outcome of the first attempt is unknown",
  within: 20,
  correct: counting(addOnce),
  planted: counting(addAgain),
};
