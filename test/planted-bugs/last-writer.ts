import { linearizable } from "../../src/check/index.ts";
import { register } from "../../src/check/models/register.ts";
import type { Scenario, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

interface Stamped {
  readonly stamp: number;
  readonly value: string;
}

const port = 1;

/** Gateways write a register on behalf of clients; of two writes the one with the greater stamp stays. */
function gateways(name: string, stampOf: (node: SimulatedNode, found: Stamped | undefined) => number): Scenario {
  const set = (node: SimulatedNode, value: string): Promise<null> =>
    node.engine.transact(async (tx) => {
      const found = await tx.get<Stamped>(["register"]);
      const stamp = stampOf(node, found);
      if (!found || stamp > found.stamp) tx.set(["register"], { stamp, value } satisfies Stamped);
      return null;
    });
  return {
    name,
    faults: ["clock", "network", "engine", "process"],
    nodes: { gateway: { count: 2, start: (node) => serve(node, port, (body) => set(node, body as string)) } },
    workload: {
      clients: 3,
      operations: 12,
      async operation(client) {
        const value = `${client.name}.${client.operation}`;
        if (client.runtime.random.next() < 0.5) {
          const gateway = `gateway-${Math.floor(client.runtime.random.next() * 2)}`;
          await client.record({ name: "set", input: value }, () => request<null>(client, gateway, port, value, 4_000));
        } else {
          await client.record({ name: "get" }, async () => {
            return (await client.engine.kv.get<Stamped>(["register"]))?.value.value ?? null;
          });
        }
      },
    },
    checks: [linearizable(register)],
  };
}

export const lastWriterByClock: PlantedBug = {
  name: "last-writer-by-clock",
  what: "of two writes the one with the later wall-clock time stays, and an acknowledged write of a machine that is behind is lost",
  within: 30,
  correct: gateways("last writer by logical clock", ({ runtime }, found) => {
    return Math.max(runtime.clock.now(), (found?.stamp ?? 0) + 1);
  }),
  planted: gateways("last writer by wall clock", ({ runtime }) => runtime.clock.now()),
};
