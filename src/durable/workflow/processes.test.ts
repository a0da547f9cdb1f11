import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { createWorkflows, type Workflows } from "./index.ts";
import { transfer, workflowsOptions } from "./testing/bank.ts";

/** How long workers are killed: a few seconds, or as long as one likes. */
const seconds = Number(process.env["ASHLAR_CHAOS_SECONDS"] ?? 6);
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
    const killers = Array.from({ length: workers }, () => killAgainAndAgain(t, store.url as string, end));
    const failing = await begin(workflows, end);
    const kills = (await Promise.all(killers)).reduce((sum, times) => sum + times, 0);
    start(t, store.url as string);
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

async function killAgainAndAgain(t: TestContext, url: string, end: number): Promise<number> {
  let kills = 0;
  while (performance.now() < end) {
    const child = start(t, url);
    const life = 1200 + Math.random() * 2500;
    await new Promise((resolve) => setTimeout(resolve, Math.min(life, end - performance.now() + 100)));
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await ended;
    kills++;
  }
  return kills;
}

function start(t: TestContext, url: string): ChildProcess {
  const path = fileURLToPath(new URL("./testing/worker-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url], { stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => {
    child.kill("SIGKILL");
  });
  return child;
}
