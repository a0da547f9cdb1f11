import assert from "node:assert/strict";
import { test } from "node:test";
import { chaosSeconds, Mortals } from "../../../test/mortals.ts";
import { storeKinds } from "../../../test/stores.ts";
import { createQueue, type Queue } from "./index.ts";

const seconds = chaosSeconds(6);
const workers = 3;

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of jobs whose workers are killed at random on ${kind.name}, none is lost and none takes effect twice`, {
    skip: kind.skip,
    timeout: (seconds + 60) * 1000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const queue = createQueue<string>(engine, "work");
    const end = performance.now() + seconds * 1000;
    const mortals = new Mortals(t, new URL("./testing/worker-process.ts", import.meta.url), store.url);
    const killers = Array.from({ length: workers }, () => mortals.killAgainAndAgain(end, [800, 2500]));
    const added = await produce(queue, end);
    const killed = await Promise.all(killers);
    const last = mortals.start();
    const from = performance.now();
    for (;;) {
      const { waiting, delayed, blocked, active, dead } = await queue.counts();
      assert.equal(dead, 0);
      if (waiting + delayed + blocked + active === 0) break;
      assert.ok(performance.now() - from < 45_000, `${waiting + delayed + blocked + active} jobs are left`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    last.kill("SIGKILL");
    const ledger = new Map<string, number>();
    for await (const { key, value } of engine.kv.list<number>({ prefix: ["ledger"] }))
      ledger.set(String(key[1]), value);
    const lost = added.filter((name) => !ledger.has(name));
    const doubled = [...ledger].filter(([, times]) => times !== 1);
    assert.deepEqual({ lost, doubled }, { lost: [], doubled: [] });
    assert.equal(ledger.size, added.length);
    const kills = killed.reduce((sum, times) => sum + times, 0);
    assert.ok(kills >= workers, `only ${kills} kills`);
    t.diagnostic(`${added.length} jobs, ${kills} kills: 0 lost, 0 doubled`);
  });
}

/** Jobs of several kinds, never more than a few thousand ahead of the workers. */
async function produce(queue: Queue<string>, end: number): Promise<string[]> {
  const added: string[] = [];
  for (let round = 0; performance.now() < end; round++) {
    const names = Array.from({ length: 60 }, (_, i) => `${round}/${i}`);
    await queue.addMany(names.slice(0, 40));
    await Promise.all(names.slice(40, 50).map((name) => queue.add(name)));
    await Promise.all(names.slice(50, 54).map((name, i) => queue.add(name, { key: `k${i % 3}` })));
    await Promise.all(names.slice(54, 57).map((name) => queue.add(name, { delay: 30 })));
    await Promise.all(names.slice(57).map((name) => queue.add(name, { priority: 2 })));
    added.push(...names);
    while (performance.now() < end && (await queue.counts({ upTo: 2000 })).waiting >= 2000)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return added;
}
