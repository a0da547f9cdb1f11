import type { CheckResult, History } from "../../src/check/index.ts";
import type { Scenario, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

const port = 1;

/** Machines that give out ids, each below its own name. */
function idService(name: string, open: (node: SimulatedNode) => Promise<() => string>): Scenario {
  return {
    name,
    faults: ["clock", "process", "network", "engine"],
    nodes: {
      ids: {
        count: 2,
        async start(node) {
          const next = await open(node);
          serve(node, port, () => Array.from({ length: 5 }, next));
        },
      },
    },
    workload: {
      clients: 3,
      operations: 20,
      think: 300,
      async operation(client) {
        const node = `ids-${client.operation % 2}`;
        await client.record({ name: "ids" }, () => request<string[]>(client, node, port, "next"));
      },
    },
    checks: [{ name: "unique ids", check: unique }],
  };
}

function unique(history: History): CheckResult {
  const given = new Map<string, number>();
  const again: string[] = [];
  for (const { id: operation, output } of history) {
    for (const id of (output ?? []) as string[]) {
      if (given.has(id)) again.push(`${id} was given by operation ${given.get(id)} and by operation ${operation}`);
      given.set(id, operation);
    }
  }
  const ok = again.length === 0;
  return {
    check: "unique ids",
    verdict: ok ? "ok" : "violated",
    summary: ok ? "every id was given once" : `${again.length} ids were given twice`,
    explanation: again,
    operations: [],
  };
}

/** A life's number from the store, and a count. */
async function byEpoch({ engine, name }: SimulatedNode): Promise<() => string> {
  const epoch = await engine.transact(async (tx) => {
    const number = ((await tx.get<number>(["epoch", name])) ?? 0) + 1;
    tx.set(["epoch", name], number);
    return number;
  });
  let count = 0;
  return () => `${name}.${epoch}.${count++}`;
}

/** The date in seconds, and a count within each. */
async function byWallClock({ runtime, name }: SimulatedNode): Promise<() => string> {
  let last = 0;
  let count = 0;
  return () => {
    const tick = Math.floor(runtime.clock.now() / 1_000);
    count = tick === last ? count + 1 : 0;
    last = tick;
    return `${name}.${tick}.${count}`;
  };
}

export const idsByClock: PlantedBug = {
  name: "ids-by-clock",
  what: "ids are made of the wall clock and a count, and the clock is set back over a time that has been",
  within: 100,
  correct: idService("ids by epoch", byEpoch),
  planted: idService("ids by wall clock", byWallClock),
};
