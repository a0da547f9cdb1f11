import type { Scenario } from "../../simulation/index.ts";

export const endless: Scenario = {
  faults: "none",
  workload: { clients: 1, operations: 1_000_000, think: 1, operation: () => {} },
  budget: { events: 1e9, faults: "1000h" },
};
