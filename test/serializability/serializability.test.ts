import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type FinalState, findAnomaly, type TransactionRecord } from "../../src/engine/conformance/index.ts";
import { createEngine, type Driver, type Engine, type Transaction } from "../../src/engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../src/engine/memory/index.ts";
import { storeKinds, type TestStore } from "../stores.ts";
import { type Access, type ClientTask, correct, readAll, runClient } from "./workload.ts";

for (const { name, skip, create } of storeKinds) {
  test(`${name}: random histories of several clients are strictly serialisable`, { skip }, async (t) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    t.diagnostic(`seed ${seed}`);
    await using store = await create();
    const processes = store.url === undefined ? 0 : 2;
    const { history, final } = await historyOf(store, { seed, transactions: 50, processes });
    t.diagnostic(`${history.length} transactions on ${Object.keys(final.lists).length} lists`);
    assert.equal(findAnomaly(history, final), undefined);
    assert.ok(history.length > 100, `only ${history.length} committed`);
  });

  test(`${name}: the same histories with reads outside of the transaction are not`, { skip }, async () => {
    await using store = await create();
    const { history, final } = await historyOf(store, {
      seed: 1,
      transactions: 60,
      processes: 0,
      access: readingOutside,
    });
    assert.notEqual(findAnomaly(history, final), undefined);
  });

  test(`${name}: write skew is impossible`, { skip }, async () => {
    await using store = await create();
    assert.deepEqual(await writeSkew(store, correct), []);
  });

  test(`${name}: phantoms are impossible`, { skip }, async () => {
    await using store = await create();
    assert.deepEqual(await overbooked(store, correct), []);
  });

  test(`${name}: with reads outside of the transaction, write skew and phantoms show`, { skip }, async () => {
    await using store = await create();
    assert.notDeepEqual(await writeSkew(store, readingOutside), []);
    assert.notDeepEqual(await overbooked(store, readingOutside), []);
  });

  test(`${name}: transactions that only read see sums that never change`, { skip }, async () => {
    await using store = await create();
    const [writer, reader] = [await store.open(), await store.open()];
    await writer.kv.commit({ mutations: Array.from({ length: 8 }, (_, i) => ({ set: ["account", i], value: 10 })) });
    const end = new AbortController();
    const moved = { times: 0 };
    const writers = [0, 1, 2].map((n) => moveMoney(writer, n, moved, end.signal));
    const sums = new Set<number>();
    for (let reads = 0; reads < 30 || moved.times < 30; reads++) {
      sums.add(await reader.transact((tx) => sumInTwoReads(tx)));
    }
    end.abort();
    await Promise.all(writers);
    assert.deepEqual([...sums], [80]);
  });
}

test("an engine that forgets its range checks is found out by the histories and by the phantoms", async () => {
  const shared = new MemoryStore();
  const broken = (driver: Driver): Driver => ({
    ...driver,
    commitMany: (commits) =>
      driver.commitMany(
        commits.map((commit) => ({ ...commit, checks: commit.checks.filter(({ kind }) => kind === "key") })),
      ),
  });
  const open = async () => createEngine(broken(createMemoryDriver(shared)));
  const store: TestStore = { url: undefined, open, [Symbol.asyncDispose]: async () => {} };
  const { history, final } = await historyOf(store, { seed: 1, transactions: 60, processes: 0 });
  assert.notEqual(findAnomaly(history, final), undefined);
  assert.notDeepEqual(await overbooked(store, correct), []);
  assert.deepEqual(await writeSkew(store, correct), [], "checks of single keys are left to it");
});

interface HistoryOptions {
  readonly seed: number;
  readonly transactions: number;
  /** Clients in processes of their own, besides three in this one. */
  readonly processes: number;
  readonly access?: Access;
}

async function historyOf(
  store: TestStore,
  { seed, transactions, processes, access }: HistoryOptions,
): Promise<{ history: TransactionRecord[]; final: FinalState }> {
  const task = (client: number): ClientTask => ({ client, transactions, seed: seed + client });
  const engines = [await store.open(), await store.open(), await store.open()];
  const others = await Promise.all(
    Array.from({ length: processes }, (_, i) => startClient(store.url as string, task(i + 4))),
  );
  const own = engines.map((engine, i) => runClient(engine, task(i + 1), access));
  const history = (await Promise.all([...own, ...others.map((begin) => begin())])).flat();
  return { history, final: await readAll(engines[0] as Engine, history) };
}

/** A client in a process of its own; resolves when it is ready with how to let it begin. */
async function startClient(url: string, task: ClientTask): Promise<() => Promise<TransactionRecord[]>> {
  const script = fileURLToPath(new URL("./client.ts", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, url, JSON.stringify(task)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const exit = once(child, "exit").then(([code]) => {
    throw new Error(`the client exited with ${code} and without a history`);
  });
  exit.catch(() => {});
  await Promise.race([once(lines, "line"), exit]);
  return async () => {
    const history = once(lines, "line");
    child.stdin?.write("begin\n");
    const [line] = await Promise.race([history, exit]);
    return JSON.parse(line as string) as TransactionRecord[];
  };
}

/** Reads everything outside of the transaction, so nothing is checked at the commit; sees its own writes all the same. */
const readingOutside: Access = (engine, tx) => {
  const own = new Map<string, { key: string | undefined; value: unknown }>();
  return {
    async get<V>(key: Parameters<typeof tx.get>[0]) {
      return (own.get(String(key)) ?? (await engine.kv.get(key)))?.value as V | undefined;
    },
    async *list<V>(range: Parameters<typeof tx.list>[0]) {
      yield* engine.kv.list<V>(range);
      const prefix = "prefix" in range ? String(range.prefix) : "";
      for (const { key, value } of own.values()) if (key === prefix) yield { key: [], value: value as V };
    },
    set(key, value) {
      own.set(String(key), { key: key.length > 1 ? String(key[0]) : undefined, value });
      tx.set(key, value);
    },
  };
};

/**
 * Two doctors are on call; each may leave if the other stays. Both try at once, many times. Resolves with the wards that
 * were left alone (the rule is broken by two transactions that each kept it).
 */
async function writeSkew(store: TestStore, access: Access): Promise<number[]> {
  const clients = [await store.open(), await store.open()];
  const wards = Array.from({ length: 40 }, (_, ward) => ward);
  for (const ward of wards) {
    await (clients[0] as Engine).kv.commit({
      mutations: [0, 1].map((doctor) => ({ set: ["call", ward, doctor], value: 1 })),
    });
  }
  const leave = (engine: Engine, ward: number, doctor: number) =>
    engine.transact(async (tx) => {
      const own = access(engine, tx);
      const [first = 0, second = 0] = [
        await own.get<number>(["call", ward, 0]),
        await own.get<number>(["call", ward, 1]),
      ];
      await turn();
      if (first + second > 1) own.set(["call", ward, doctor], 0);
    });
  for (const ward of wards) await Promise.all(clients.map((client, doctor) => leave(client, ward, doctor)));
  const left: number[] = [];
  for (const ward of wards) {
    const entries = await (clients[0] as Engine).kv.getMany<number>([0, 1].map((doctor) => ["call", ward, doctor]));
    if (entries.every((entry) => entry?.value === 0)) left.push(ward);
  }
  return left;
}

/** Rooms with two beds, and five guests at once for each. Resolves with the rooms that do not have two guests afterwards. */
async function overbooked(store: TestStore, access: Access): Promise<number[]> {
  const clients = [await store.open(), await store.open()];
  const book = (engine: Engine, room: number, guest: number) =>
    engine.transact(async (tx) => {
      const own = access(engine, tx);
      const guests = await Array.fromAsync(own.list({ prefix: ["room", room] }));
      await turn();
      if (guests.length < 2) own.set(["room", room, guest], true);
    });
  const rooms = Array.from({ length: 20 }, (_, room) => room);
  for (const room of rooms) {
    await Promise.all([0, 1, 2, 3, 4].map((guest) => book(clients[guest % 2] as Engine, room, guest)));
  }
  const wrong: number[] = [];
  for (const room of rooms) {
    const guests = await Array.fromAsync((clients[0] as Engine).kv.list({ prefix: ["room", room] }));
    if (guests.length !== 2) wrong.push(room);
  }
  return wrong;
}

/** The first half of the accounts by keys, the others by a range, with time for a writer in between. */
async function sumInTwoReads(tx: Transaction): Promise<number> {
  const first = await tx.getMany<number>([0, 1, 2, 3].map((account) => ["account", account]));
  await turn();
  const others = await Array.fromAsync(tx.list<number>({ prefix: ["account"], start: ["account", 4] }));
  return [...first, ...others.map(({ value }) => value)].reduce<number>((sum, balance) => sum + (balance ?? 0), 0);
}

/** Moves money between accounts until the signal, with pauses in which a reader has a chance. */
async function moveMoney(engine: Engine, n: number, moved: { times: number }, end: AbortSignal): Promise<void> {
  for (let i = 0; !end.aborted; i++) {
    const [from, to] = [(i + n) % 8, (i + n + 3) % 8];
    await engine.transact(async (tx) => {
      const keys = [from, to].map((account) => ["account", account]);
      const [source = 0, target = 0] = await tx.getMany<number>(keys);
      tx.set(["account", from], source - 1);
      tx.set(["account", to], target + 1);
    });
    moved.times++;
    await pause(2);
  }
}
