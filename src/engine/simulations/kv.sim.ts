import { keyValue, linearizable, recordKv } from "../../check/index.ts";
import type { Scenario, SimulatedClient } from "../../simulation/index.ts";

/** Reads, writes, compare-and-set and sums on a few keys: linearizable, each key for itself. */
export const kv: Scenario = {
  name: "keys",
  faults: ["engine", "network", "code"],
  workload: { clients: 5, operations: 30, think: 20, operation: act },
  checks: [linearizable(keyValue)],
};

async function act({ engine, recorder, name, operation, runtime }: SimulatedClient): Promise<void> {
  const store = recordKv(engine, { recorder, client: name });
  const pick = (n: number) => Math.floor(runtime.random.next() * n);
  const key = [`key-${pick(3)}`];
  const value = `${name}.${operation}`;
  switch (pick(6)) {
    case 0:
    case 1:
      return void (await store.get(key));
    case 2:
      return await store.set(key, value);
    case 3:
      return await store.delete(key);
    case 4:
      return void (await store.cas(key, await store.get(key), value));
    default:
      return void (await store.add(["sum"], 1 + pick(3)));
  }
}
