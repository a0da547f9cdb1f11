import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { isAshlarError, OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { open, type Process } from "../lease/testing/process.ts";
import { writtenKeys } from "../lease/testing/tapped-driver.ts";
import { createShardMap, type ShardMember } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const options = { shards: 6, ttl: "10s", settle: 100 } as const;

/** Processes on one store, all in the same virtual time. */
function world(): { readonly runtime: ManualRuntime; start(): Process } {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  return { runtime, start: () => open(store, runtime) };
}

const joined = (process: Process, worker: string): Promise<ShardMember> =>
  createShardMap(process.engine, "orders", options).join({ worker });

test("the shards of a process that died go to the others when its lease has ended, and not before", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const one = await joined(a, "one");
  const two = await joined(b, "two");
  await runtime.advance(1000);
  assert.deepEqual([one.owned.size, two.owned.size], [3, 3]);
  const fence = one.shard([...one.owned][0] as number);
  await a.die();
  await runtime.advance(6000);
  assert.equal(two.owned.size, 3, "the lease may last");
  await runtime.advance(12_000);
  assert.equal(two.owned.size, 6);
  assert.ok(two.shard(fence.shard).epoch > fence.epoch);
  assert.equal(one.owned.size, 0);
});

test("whoever distributed dies, and the next in turn does it, however late its turn was before", async () => {
  const { runtime, start } = world();
  const processes = Array.from({ length: 6 }, start);
  const members: ShardMember[] = [];
  for (const [i, process] of processes.entries()) {
    members.push(await joined(process, `w${i}`));
    await runtime.advance(10);
  }
  await runtime.advance(1000);
  assert.deepEqual(
    members.map(({ owned }) => owned.size),
    [1, 1, 1, 1, 1, 1],
  );
  // The last would have had its turn after five thirds of the ttl.
  for (const process of processes.slice(0, 5)) await process.die();
  await runtime.advance(10_000 + 2000);
  assert.equal(members[5]?.owned.size, 6);
  await processes[5]?.engine.close();
});

test("a process that is cut off owns nothing by its own reckoning before others own it, and joins again by itself", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const one = await joined(a, "one");
  const two = await joined(b, "two");
  await runtime.advance(1000);
  const lost = [...one.owned].map((shard) => one.shard(shard));
  a.tap.away = true;
  for (let i = 0; i < 200; i++) {
    await runtime.advance(100);
    for (const shard of one.owned) assert.ok(!two.owned.has(shard), `both own ${shard}`);
  }
  assert.deepEqual([one.owned.size, two.owned.size], [0, 6]);
  assert.ok(lost.every(({ signal, held }) => !held && isAshlarError(signal.reason, "LEASE_LOST")));
  a.tap.away = false;
  await runtime.advance(3000);
  assert.deepEqual([one.owned.size, two.owned.size], [3, 3]);
  await assert.rejects(
    a.engine.transact((tx) => tx.set(["k"], 1), { fence: lost }),
    code("LEASE_LOST"),
  );
});

test("a slow onRevoke is told to stop, and does not hold a shard for longer than the time of grace", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const signals: AbortSignal[] = [];
  const failed: unknown[] = [];
  const listen = (message: unknown): void => void failed.push(message);
  subscribe("ashlar:shard-map:revoke-failed", listen);
  const one = await createShardMap(a.engine, "orders", options).join({
    worker: "one",
    grace: "3s",
    onRevoke: (_, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    },
  });
  await runtime.advance(1000);
  const two = await joined(b, "two");
  await runtime.advance(2000);
  assert.deepEqual([signals.length, two.owned.size, one.owned.size], [3, 0, 6]);
  assert.ok(signals.every(({ aborted }) => !aborted));
  await runtime.advance(1500);
  unsubscribe("ashlar:shard-map:revoke-failed", listen);
  assert.deepEqual([two.owned.size, one.owned.size], [3, 3]);
  assert.ok(signals.every(({ reason }) => isAshlarError(reason, "TIMEOUT")));
  assert.equal(failed.length, 3);
});

test("a shard is handed over though onRevoke throws, and channels tell what happens", async () => {
  const { runtime, start } = world();
  const told: string[] = [];
  const events = ["joined", "left", "gained", "dropped", "revoke-failed", "rebalanced"];
  const listeners = events.map((event) => {
    const listen = (message: unknown): void => {
      const { worker, shard, reason } = message as { worker?: string; shard?: number; reason?: string };
      told.push([event, worker, shard, reason].filter((part) => part !== undefined).join(" "));
    };
    subscribe(`ashlar:shard-map:${event}`, listen);
    return { event, listen };
  });
  await using a = start();
  await using b = start();
  const map = createShardMap(a.engine, "orders", { ...options, shards: 1 });
  const one = await map.join({ worker: "one", onRevoke: () => Promise.reject(new Error("no")) });
  await runtime.advance(500);
  const two = await createShardMap(b.engine, "orders", { ...options, shards: 1 }).join({ worker: "two" });
  await one.close();
  await runtime.advance(500);
  for (const { event, listen } of listeners) unsubscribe(`ashlar:shard-map:${event}`, listen);
  assert.deepEqual(told, [
    "joined one",
    "gained one 0",
    "rebalanced",
    "joined two",
    "revoke-failed one 0",
    "dropped one 0 handed-over",
    "gained two 0",
    "left one closed",
  ]);
  assert.equal(two.owned.size, 1);
});

test("a view stays usable while the engine is away, says that it is stale, and is not afterwards", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  await using view = await createShardMap(b.engine, "orders", options).view();
  await joined(a, "one");
  await runtime.advance(1000);
  const owner = view.owner(0);
  assert.deepEqual([owner?.worker, view.stale], ["one", false]);
  b.tap.away = true;
  await runtime.advance(7000);
  assert.equal(view.stale, false, "the ttl has not passed");
  await runtime.advance(6000);
  assert.deepEqual([view.stale, view.owner(0)], [true, owner]);
  await assert.rejects(view.refresh(), code("UNAVAILABLE"));
  b.tap.away = false;
  await view.refresh();
  assert.equal(view.stale, false);
});

test("an idle view is not stale: it asks from time to time", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using view = await createShardMap(a.engine, "orders", options).view();
  for (let i = 0; i < 100; i++) {
    await runtime.advance(1000);
    assert.equal(view.stale, false, `after ${i} s`);
  }
});

test("an abort ends a join with its reason, and nobody stays behind", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const map = createShardMap(a.engine, "orders", options);
  await assert.rejects(map.join({ worker: "one", signal: AbortSignal.abort(new Error("not now")) }), /not now/);
  const controller = new AbortController();
  const never = map.join({ worker: "one", signal: controller.signal });
  a.tap.away = true;
  const refused = assert.rejects(never, /enough/);
  await runtime.advance(5000);
  controller.abort(new Error("enough"));
  await refused;
  a.tap.away = false;
  await runtime.advance(30_000);
  assert.deepEqual(await Array.fromAsync(b.engine.kv.list({ prefix: ["shard-map", "orders", "member"] })), []);
  assert.deepEqual(await Array.fromAsync(b.engine.kv.list({ prefix: ["lease"] })), []);
});

test("a stay whose joining came to nothing gives back what it was given, though its lease goes on", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const two = await joined(b, "two");
  await runtime.advance(1000);
  // The entry is written, the answer lost; the next stay shares the lease. What makes the entry void is held up until it has been given shards.
  let doubted: string | undefined;
  let heldUp = 0;
  a.tap.intercept = async (commits, pass) => {
    const id = commits.flatMap(writtenKeys).find((key) => key[2] === "member")?.[3] as string | undefined;
    if (id === undefined || (doubted !== undefined && id !== doubted)) return pass();
    if (doubted === undefined) {
      doubted = id;
      await pass();
      throw new OutcomeUnknownError("injected: the answer is lost");
    }
    if (heldUp++ < 8) throw new UnavailableError("injected: not yet");
    return pass();
  };
  const joining = joined(a, "one");
  await runtime.advance(20_000);
  const one = await joining;
  assert.ok(heldUp >= 8);
  assert.deepEqual([one.owned.size, two.owned.size], [3, 3]);
  await one.close();
});

test("many shards move in one round: the owner is asked in a few commits, and hands over one commit each", async () => {
  const { runtime, start } = world();
  await using a = start();
  await using b = start();
  const many = { ...options, shards: 400 };
  const one = await createShardMap(a.engine, "orders", many).join({ worker: "one" });
  await runtime.advance(500);
  assert.equal(one.owned.size, 400);
  a.tap.commits = 0;
  const two = await createShardMap(b.engine, "orders", many).join({ worker: "two" });
  await runtime.advance(500);
  assert.deepEqual([one.owned.size, two.owned.size], [200, 200]);
  assert.ok(a.tap.commits <= 200 + Math.ceil(200 / 12), `${a.tap.commits} commits`);
});

test("closing the engine ends what waits for it, and views, with CLOSED", async () => {
  const { start } = world();
  const a = start();
  const map = createShardMap(a.engine, "orders", options);
  const view = await map.view();
  const watching = assert.rejects(Array.fromAsync(view.watch()), code("CLOSED"));
  a.tap.away = true;
  const others = createShardMap(a.engine, "others", options);
  const waiting = [map.join({ worker: "one" }), others.join({ worker: "one" }), others.view(), view.refresh()];
  const ended = waiting.map((each) =>
    each.then(
      () => "resolved",
      (error: unknown) => (isAshlarError(error) ? error.code : error),
    ),
  );
  await a.engine.close();
  assert.deepEqual((await Promise.all(ended)).slice(0, 3), ["CLOSED", "CLOSED", "CLOSED"]);
  await watching;
  await view.close();
});
