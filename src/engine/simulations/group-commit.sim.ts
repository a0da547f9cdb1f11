import assert from "node:assert/strict";
import { isAshlarError } from "../../core/index.ts";
import type { Scenario, SimulatedClient, World } from "../../simulation/index.ts";

/** What the engine answered to each commit, by its number: `applied`, `refused`, or `unknown` (also: not yet answered). */
type Answers = Map<string, Map<number, "applied" | "refused" | "unknown">>;

/**
 * Many commits of one client under way at once. Each has its own outcome: what was acknowledged took place once, what was refused did not, and those
 * acknowledged took place in the order in which they were issued.
 */
export const groupCommit: Scenario = {
  name: "group commit",
  faults: ["engine", "network", "code"],
  workload: {
    clients: 3,
    operations: 8,
    think: 30,
    setup: async (world) => {
      world.state.set("answers", new Map());
      await world.engine.kv.set(["present"], true);
    },
    operation: async (client) => {
      const answers = new Map<number, "applied" | "refused" | "unknown">();
      answersOf(client).set(`${client.name}.${client.operation}`, answers);
      const size = 1 + Math.floor(client.runtime.random.next() * 30);
      await Promise.all(Array.from({ length: size }, (_, number) => commit(client, answers, number)));
    },
  },
  invariants: { "each commit has the outcome that it was told": outcomes },
};

function answersOf({ state }: Pick<World, "state">): Answers {
  return state.get("answers") as Answers;
}

async function commit(client: SimulatedClient, answers: Map<number, string>, number: number): Promise<void> {
  answers.set(number, "unknown");
  const record = { burst: `${client.name}.${client.operation}`, number };
  // Every seventh cannot be.
  const impossible = number % 7 === 6;
  try {
    await client.engine.kv.commit({
      checks: impossible ? [{ key: ["present"], version: undefined }] : [],
      mutations: [
        { add: ["sum"], delta: 1 },
        { append: "order", records: [record] },
      ],
    });
    answers.set(number, "applied");
  } catch (error) {
    if (isAshlarError(error) && error.definite) answers.set(number, "refused");
  }
}

async function outcomes(world: World): Promise<void> {
  const records = await world.engine.log.read<{ burst: string; number: number }>("order", { limit: 10_000 });
  const sum = (await world.engine.kv.get<number>(["sum"]))?.value ?? 0;
  assert.equal(sum, records.length, "a commit took place in part");
  const seen = new Map<string, number[]>();
  for (const { value } of records) {
    const numbers = seen.get(value.burst) ?? [];
    assert.ok(!numbers.includes(value.number), `${value.burst}: ${value.number} took place twice`);
    numbers.push(value.number);
    seen.set(value.burst, numbers);
  }
  for (const [burst, answers] of answersOf(world)) {
    const acknowledged = seen.get(burst)?.filter((number) => answers.get(number) === "applied") ?? [];
    assert.deepEqual(
      acknowledged,
      acknowledged.toSorted((a, b) => a - b),
      `${burst}: the order is another one`,
    );
    for (const [number, answer] of answers) {
      const tookPlace = seen.get(burst)?.includes(number) ?? false;
      if (answer === "applied") assert.ok(tookPlace, `${burst}: ${number} was acknowledged and did not take place`);
      if (answer === "refused") assert.ok(!tookPlace, `${burst}: ${number} was refused and took place`);
    }
  }
}
