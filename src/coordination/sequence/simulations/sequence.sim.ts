import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createSequence } from "../index.ts";

/**
 * Machines that take numbers one by one, in blocks, in ranges, and in transactions, and die with some in their hands.
 *
 * Invariants: no number is given out twice; within a life of a machine they ascend; those taken in transactions have no gap; after the faults everybody gets numbers again.
 */
export const sequence: Scenario = {
  name: "sequence",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { taker: { count: 3, start: take } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "20s", heal: "60s" },
  eventually: { "everybody gets numbers again": everybodyGets, "no gap in transactions": noGap },
};

const given = (state: World["state"]) => state.get("given") as Map<string, Set<number>>;
const counts = (state: World["state"]) => state.get("counts") as Map<string, number>;

function setup({ state }: World): void {
  state.set("given", new Map(["one", "blocks"].map((name) => [name, new Set()])));
  state.set("counts", new Map());
}

function take({ engine, name, runtime, state }: SimulatedNode): void {
  const sequences = {
    one: createSequence(engine, "one"),
    blocks: createSequence(engine, "blocks", { blockSize: 7 }),
  };
  const invoices = createSequence(engine, "invoices");
  const loop = (fn: () => Promise<void>) => async () => {
    for (;;) {
      try {
        await fn();
        counts(state).set(name, (counts(state).get(name) ?? 0) + 1);
      } catch (error) {
        if (!isAshlarError(error) || error.code === "INVALID_ARGUMENT" || error.code === "LIMIT") throw error;
      }
      await sleep(runtime, runtime.random.next() * 200);
    }
  };
  for (const [kind, sequence] of Object.entries(sequences)) {
    const seen = given(state).get(kind) as Set<number>;
    let latest = 0;
    const note = (number: number): void => {
      assert.ok(!seen.has(number), `${kind}: ${number} was given out twice`);
      seen.add(number);
    };
    const one = async (): Promise<void> => {
      const number = await sequence.next();
      note(number);
      assert.ok(number > latest, `${kind}: ${number} after ${latest}`);
      latest = number;
    };
    void loop(one)();
    void loop(async () => {
      for (const number of await sequence.reserve(1 + Math.floor(runtime.random.next() * 5))) note(number);
    })();
  }
  void loop(async () => {
    await engine.transact(async (tx) => void tx.append("invoices", [await invoices.nextIn(tx)]), { deadline: "5s" });
  })();
}

function everybodyGets({ state, running }: World): boolean {
  let before = state.get("before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(counts(state));
    state.set("before", before);
  }
  for (const name of running("taker"))
    assert.ok((counts(state).get(name) ?? 0) > (before.get(name) ?? 0) + 10, `${name} gets no numbers`);
  return running("taker").length > 0;
}

async function noGap({ engine }: World): Promise<boolean> {
  let expected = 1;
  for (let from = 0; ; ) {
    const records = await engine.log.read<number>("invoices", { from });
    if (records.length === 0) return expected > 1;
    for (const { value } of records) assert.equal(value, expected++);
    from = (records.at(-1) as { offset: number }).offset + 1;
  }
}
