import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { sleep } from "../../core/index.ts";
import { createEventStore } from "./index.ts";
import { type AccountEvent, account } from "./testing/account.ts";

const events = 150;

interface Child {
  kill(): Promise<void>;
  /** Stream and version of what was acknowledged to it. */
  readonly acknowledged: string[];
}

async function start(t: TestContext, ...args: readonly string[]): Promise<Child> {
  const path = fileURLToPath(new URL("./testing/account-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  t.after(kill);
  const acknowledged: string[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("acc-")) acknowledged.push(line);
  });
  await once(child.stdout, "data");
  return { kill, acknowledged };
}

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of processes that are killed on ${kind.name}, what was acknowledged is there once, and the projection is the fold, also after a rebuild`, {
    skip: kind.skip,
    timeout: 60_000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const url = store.url ?? assert.fail("no URL");
    await using accounts = createEventStore<{ balance: number }, AccountEvent>(engine, "accounts", {
      initial: account.initial,
      evolve: account.evolve,
    });
    const children = [await start(t, url), await start(t, url)];
    for (const share of [0.3, 0.6]) {
      while ((await accounts.end()) < share * events) await sleep(engine.runtime, 1);
      await children.at(-2)?.kill();
      children.push(await start(t, url, "rebuild"));
    }
    const inUse = async () => {
      const key = ["projection", "balances"];
      const record = await engine.scope("event-store", "accounts").kv.get<{ active?: { number: number } }>(key);
      return record?.value.active?.number ?? 0;
    };
    while ((await accounts.end()) < events || (await inUse()) < 2) await sleep(engine.runtime, 5);
    for (const child of children) await child.kill();

    const order = await Array.fromAsync(accounts.all());
    assert.deepEqual(
      order.map(({ position }) => position),
      order.map((_, i) => i),
    );
    const there = order.map(({ stream, version }) => `${stream} ${version}`);
    const told = children.flatMap(({ acknowledged }) => acknowledged);
    assert.equal(new Set(told).size, told.length, "two were told of one version");
    assert.deepEqual(
      told.filter((each) => !there.includes(each)),
      [],
    );
    await using balances = accounts.project(
      "balances",
      ({ stream, position, data }, { view, tx, generation }) => {
        view.add([stream], data.amount);
        tx.append(["projected", generation], [position]);
      },
      { lease: "500ms" },
    );
    await balances.waitFor(order.length - 1);
    const { kv, generation } = await balances.view();
    for (const stream of ["acc-0", "acc-1", "acc-2"]) {
      const { state, version } = await accounts.load(stream);
      assert.deepEqual([state.balance, (await kv.get([stream]))?.value], [version, version]);
    }
    const projected = await engine.log.read<number>(["projected", generation], { limit: 10 * order.length });
    assert.deepEqual(
      projected.map(({ value }) => value),
      order.map(({ position }) => position),
    );
  });
}
