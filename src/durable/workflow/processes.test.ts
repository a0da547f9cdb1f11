import assert from "node:assert/strict";
import { test } from "node:test";
import { chaosSeconds, Mortals } from "../../../test/mortals.ts";
import { storeKinds } from "../../../test/stores.ts";
import { createWorkflows, type Workflows } from "./index.ts";
import { transfer, workflowsOptions } from "./testing/bank.ts";

const seconds = chaosSeconds(6);
const workers = 3;
const accounts = 20;

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`a bank whose transfers are carried out by processes that are killed at random on ${kind.name} stays balanced, and every transfer ends`, {
    skip: kind.skip,
    timeout: (seconds + 90) * 1000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const workflows = createWorkflows(engine, [transfer], workflowsOptions);
    const end = performance.now() + seconds * 1000;
    const mortals = new Mortals(t, new URL("./testing/worker-process.ts", import.meta.url), store.url);
    const killers = Array.from({ length: workers }, () => mortals.killAgainAndAgain(end, [1200, 3700]));
    const failing = await begin(workflows, end);
    const kills = (await Promise.all(killers)).reduce((sum, times) => sum + times, 0);
    mortals.start();
    const from = performance.now();
    while ((await statuses(workflows)).open > 0) {
      assert.ok(performance.now() - from < 60_000, `${(await statuses(workflows)).open} transfers are open`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { completed, failed, stuck } = await statuses(workflows);
    assert.deepEqual(
      { completed, failed, stuck },
      { completed: failing.length - sum(failing), failed: sum(failing), stuck: 0 },
    );
    let balance = 0;
    for await (const { value } of engine.kv.list<number>({ prefix: ["account"] })) balance += value;
    assert.equal(balance, 0);
    const ledger = new Map<string, number>();
    for await (const { key, value } of engine.kv.list<number>({ prefix: ["ledger"] }))
      ledger.set(String(key[1]), value);
    const wrong = failing.flatMap((fails, i) => ((ledger.get(`t${i}`) ?? 0) === (fails ? 0 : 2) ? [] : [`t${i}`]));
    assert.deepEqual(wrong, []);
    assert.ok(kills >= workers, `only ${kills} kills`);
    t.diagnostic(`${failing.length} transfers, ${kills} kills: balanced, all ended`);
  });
}

const sum = (flags: readonly boolean[]) => flags.filter(Boolean).length;

/** Never more than a few hundred ahead of the workers. Returns which are to fail. */
async function begin(workflows: Workflows, end: number): Promise<boolean[]> {
  const failing: boolean[] = [];
  while (performance.now() < end) {
    const batch = Array.from({ length: 20 }, () => {
      const fails = Math.random() < 0.2;
      const input = {
        from: Math.floor(Math.random() * accounts),
        to: Math.floor(Math.random() * accounts),
        amount: 1 + Math.floor(Math.random() * 100),
        fails,
      };
      const id = `t${failing.length}`;
      failing.push(fails);
      return workflows.start(transfer, input, { id });
    });
    const runs = await Promise.all(batch);
    // The first of the batch but one: most of it has ended by then.
    const wait = AbortSignal.timeout(Math.max(1, Math.ceil(end - performance.now())));
    await runs[0]?.result({ signal: wait }).catch(() => {});
  }
  return failing;
}

async function statuses(workflows: Workflows): Promise<Record<"completed" | "failed" | "open" | "stuck", number>> {
  const counts = { completed: 0, failed: 0, open: 0, stuck: 0 };
  for await (const { status } of workflows.list()) if (status in counts) counts[status as keyof typeof counts]++;
  return counts;
}
