import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, type Runtime } from "../core/index.ts";
import type { Engine, Transaction } from "./contract.ts";
import { createEngine } from "./engine.ts";
import { createMemoryDriver, MemoryStore, openMemory } from "./memory/index.ts";
import { createFaultyDriver, type FaultCounts } from "./testing/faulty-driver.ts";
import { seededRuntime } from "./testing/seeded.ts";

const accounts = 5;

/** Moves money at random; the ledger record joins the commit, so both must agree whatever happens to the answers. */
async function transfer(engine: Engine, runtime: Runtime, id: string): Promise<void> {
  const from = Math.floor(runtime.random.next() * accounts);
  const to = (from + 1 + Math.floor(runtime.random.next() * (accounts - 1))) % accounts;
  await engine.transact(async (tx: Transaction) => {
    const [source = 0, target = 0] = await tx.getMany<number>([
      ["account", from],
      ["account", to],
    ]);
    tx.set(["account", from], source - 1);
    tx.set(["account", to], target + 1);
    tx.append("ledger", [{ id, from, to }]);
  });
}

async function balances(engine: Engine): Promise<number[]> {
  const entries = await Array.fromAsync(engine.kv.list<number>({ prefix: ["account"] }));
  const found = Array.from({ length: accounts }, () => 0);
  for (const { key, value } of entries) found[key[1] as number] = value;
  return found;
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`effects happen exactly once when commits are refused, answers lost and arrivals late (seed ${seed})`, async () => {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore(runtime);
    const faults = { refused: 0.1, answerLost: 0.15, late: 0.15, read: 0.03, reset: 0.05 };
    const clients = Array.from({ length: 3 }, () => createFaultyDriver(createMemoryDriver(store), runtime, faults));
    const engines = clients.map(({ driver }) => createEngine(driver, { runtime }));
    const wanted: string[] = [];
    await Promise.all(
      engines.map(async (engine, client) => {
        for (let i = 0; i < 15; i++) {
          const id = `${client}/${i}`;
          wanted.push(id);
          await transfer(engine, runtime, id);
        }
      }),
    );
    await Promise.all(engines.map((engine) => engine.close()));
    await using observer = openMemory({ store, runtime });
    const ledger = await observer.log.read<{ id: string; from: number; to: number }>("ledger");
    assert.deepEqual(ledger.map(({ value }) => value.id).sort(), wanted.sort());
    const expected = Array.from({ length: accounts }, () => 0);
    for (const { value } of ledger) {
      expected[value.from] = (expected[value.from] as number) - 1;
      expected[value.to] = (expected[value.to] as number) + 1;
    }
    assert.deepEqual(await balances(observer), expected);
    const met = (fault: keyof FaultCounts) => clients.reduce((sum, { counts }) => sum + counts[fault], 0);
    for (const fault of ["refused", "answerLost", "late"] as const)
      assert.ok(met(fault) > 0, `seed ${seed} never met the fault ${fault}`);
  });
}

test("markers vanish after their time", async () => {
  let now = 1_000_000;
  const seeded = seededRuntime(1);
  const runtime = { ...seeded, clock: { ...seeded.clock, now: () => now } };
  const store = new MemoryStore(runtime);
  const { driver } = createFaultyDriver(createMemoryDriver(store), runtime, {
    refused: 0,
    answerLost: 0,
    late: 0,
    read: 0,
    reset: 0,
  });
  await using engine = createEngine(driver, { runtime });
  await engine.transact((tx) => tx.set(["a"], 1));
  const all = { start: new Uint8Array([0]), end: new Uint8Array([0xff, 0xff]) };
  assert.equal(store.list(all, 10, false).length, 2);
  now += 16 * 60 * 1000;
  store.sweep(10);
  assert.equal(store.list(all, 10, false).length, 1);
});

test("results lost with the answer say so instead of lying", async () => {
  const runtime = seededRuntime(1);
  const { driver, counts } = createFaultyDriver(createMemoryDriver(new MemoryStore(runtime)), runtime, {
    refused: 0,
    answerLost: 0.5,
    late: 0,
    read: 0,
    reset: 0,
  });
  await using engine = createEngine(driver, { runtime });
  let lost = 0;
  for (let i = 1; i <= 20; i++) {
    const sum = await engine.transact((tx) => tx.add(["n"], 1));
    try {
      assert.equal(sum.value, i);
    } catch (error) {
      assert.ok(isAshlarError(error, "INVALID_STATE"), String(error));
      lost++;
    }
  }
  assert.ok(counts.answerLost > 0 && lost > 0);
  assert.equal((await engine.kv.get<number>(["n"]))?.value, 20);
});

test("a watch under faults ends in the state of the store", async () => {
  const runtime = seededRuntime(3);
  const store = new MemoryStore(runtime);
  const { driver, counts } = createFaultyDriver(createMemoryDriver(store), runtime, {
    refused: 0,
    answerLost: 0,
    late: 0,
    read: 0.05,
    reset: 0.3,
  });
  await using engine = createEngine(driver, { runtime });
  const seen = new Map<string, unknown>();
  const controller = new AbortController();
  const finished = Promise.withResolvers<void>();
  const watching = (async () => {
    for await (const changes of engine.kv.watch({ prefix: ["w"] }, { signal: controller.signal })) {
      for (const change of changes) {
        if (change.deleted) seen.delete(String(change.key[1]));
        else seen.set(String(change.key[1]), change.value);
      }
      if (seen.get("end") === true) finished.resolve();
    }
  })();
  for (let i = 0; i < 300; i++) {
    const key = ["w", Math.floor(runtime.random.next() * 20)];
    if (runtime.random.next() < 0.3) await engine.kv.delete(key);
    else await engine.kv.set(key, i);
  }
  await engine.kv.set(["w", "end"], true);
  await finished.promise;
  await using observer = openMemory({ store, runtime });
  const actual = new Map<string, unknown>();
  for await (const { key, value } of observer.kv.list({ prefix: ["w"] })) actual.set(String(key[1]), value);
  assert.deepEqual(new Map([...seen].sort()), new Map([...actual].sort()));
  assert.ok(counts.reset > 0);
  controller.abort(new Error("enough"));
  await assert.rejects(watching, /enough/);
});
