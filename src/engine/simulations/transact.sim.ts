import { type ListStep, recordLists, transactions } from "../../check/index.ts";
import type { Scenario, SimulatedClient } from "../../simulation/index.ts";

const lists = ["array-a", "array-b", "array-c", "range-a", "range-b"];

/** Transactions over a few lists, by key and by range: strictly serialisable, each at most once, and none of those refused. */
export const transact: Scenario = {
  name: "transact",
  faults: ["engine", "network", "clock", "code"],
  workload: {
    clients: 4,
    operations: 20,
    think: 60,
    operation: async (client) => {
      const { runtime, engine, name, recorder } = client;
      const size = 1 + Math.floor(runtime.random.next() * 4);
      const steps = Array.from({ length: size }, (_, i) => drawStep(client, i));
      const layout = (list: string) => (list.startsWith("range") ? "range" : "array");
      const deadline = runtime.random.next() < 0.3 ? "300ms" : "20s";
      await recordLists(engine, { recorder, client: name, layout })(steps, { deadline });
    },
  },
  checks: [transactions({ kind: "list-append" })],
};

function drawStep({ name, operation, runtime }: SimulatedClient, index: number): ListStep {
  const list = lists[Math.floor(runtime.random.next() * lists.length)] as string;
  return runtime.random.next() < 0.5 ? ["r", list, null] : ["append", list, `${name}.${operation}.${index}`];
}
