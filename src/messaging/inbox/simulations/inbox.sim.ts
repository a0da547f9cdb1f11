import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createInbox, type Receipt } from "../index.ts";

/**
 * A foreign sender whose messages come to several machines, each again and again, also after they were received and by two machines at once; machines die, stand still and are cut off in between.
 *
 * Invariants: the effect of a message has happened at most once, together with all of it; who was told that a message is received finds its effect there; exactly one run had the effect, and all are told
 * what it returned; nobody is told twice that it was the first. After the faults every message has taken effect.
 */
export const inbox: Scenario = {
  name: "inbox",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { receiver: { count: 3, start: receive } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "60s" },
  invariants: { "every message takes effect once, whole": onceAndWhole },
  eventually: { "every message has taken effect": allReceived },
};

/** Messages that come within a round of two seconds. */
const perRound = 4;
const rounds = 12;

type State = World["state"];
const told = (state: State) => state.get("told") as Map<string, Receipt<string>[]>;
const sent = (state: State) => state.get("sent") as Set<string>;

function setup({ state }: World): void {
  state.set("told", new Map());
  state.set("sent", new Set());
}

function receive({ engine, name, runtime, state }: SimulatedNode): void {
  const stripe = createInbox(engine, "stripe", { retention: "1d" });
  void (async () => {
    for (;;) {
      const round = Math.floor(runtime.clock.monotonic() / 2000) % rounds;
      const id = `${round}-${Math.floor(runtime.random.next() * perRound)}`;
      sent(state).add(id);
      const run = `${name} ${runtime.random.next()}`;
      try {
        const receipt = await stripe.receive(
          id,
          async ({ tx }) => {
            // What others change too, so that handlers meet conflicts.
            const total = (await tx.get<number>(["total", round])) ?? 0;
            tx.set(["total", round], total + 1);
            tx.add(["effect", id], 1);
            tx.append("effects", [{ id, run }]);
            if (runtime.random.next() < 0.2) await sleep(runtime, runtime.random.next() * 300);
            if (runtime.random.next() < 0.2) throw new Error("flaky");
            return run;
          },
          runtime.random.next() < 0.3 ? { deadline: "300ms" } : {},
        );
        const receipts = told(state).get(id) ?? [];
        told(state).set(id, [...receipts, receipt]);
      } catch (error) {
        const expected = isAshlarError(error) ? error.code !== "INVALID_STATE" : (error as Error).message === "flaky";
        if (!expected && (error as Error).name !== "AbortError") throw error;
      }
      await sleep(runtime, runtime.random.next() * 150);
    }
  })();
}

async function effectsOf({ engine }: World): Promise<Map<string, string>> {
  const effects = new Map<string, string>();
  for (let from = 0; ; ) {
    const records = await engine.log.read<{ id: string; run: string }>("effects", { from });
    for (const { value, offset } of records) {
      assert.ok(!effects.has(value.id), `${value.id} took effect twice`);
      effects.set(value.id, value.run);
      from = offset + 1;
    }
    if (records.length === 0) return effects;
  }
}

async function onceAndWhole(world: World): Promise<void> {
  const effects = await effectsOf(world);
  const totals = new Map<string, number>();
  for (const id of effects.keys()) {
    const [round = ""] = id.split("-");
    totals.set(round, (totals.get(round) ?? 0) + 1);
  }
  for await (const { key, value } of world.engine.kv.list<number>({ prefix: ["effect"] })) {
    assert.equal(value, 1, `${key[1]} took effect ${value} times`);
    assert.ok(effects.has(String(key[1])), `${key[1]} took effect in part`);
  }
  for await (const { key, value } of world.engine.kv.list<number>({ prefix: ["total"] }))
    assert.equal(value, totals.get(String(key[1])), `the total of round ${key[1]} is not the number of its messages`);
  for (const [id, receipts] of told(world.state)) {
    assert.ok(receipts.filter(({ duplicate }) => !duplicate).length <= 1, `two were told to be the first with ${id}`);
    for (const { value } of receipts)
      assert.equal(value, effects.get(id), `${id}: told of another run than took effect`);
  }
}

async function allReceived(world: World): Promise<boolean> {
  const effects = await effectsOf(world);
  const missing = [...sent(world.state)].filter((id) => !effects.has(id));
  if (missing.length > 0) assert.fail(`not received yet: ${missing.join(", ")}`);
  return effects.size > perRound;
}
