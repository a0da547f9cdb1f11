import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { isAshlarError, OutcomeUnknownError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { createEngine } from "../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../engine/memory/index.ts";
import { createFaultyDriver } from "../../engine/testing/faulty-driver.ts";
import { seededRuntime } from "../../engine/testing/seeded.ts";
import { open } from "../lease/testing/process.ts";
import { createRegistry, type Instance, type ServiceView, type Stale } from "./index.ts";
import type { Stored } from "./record.ts";

const ids = (instances: readonly Instance[]): string[] => instances.map(({ id }) => id);
const staleOf = (view: ServiceView): Stale | undefined => view.stale;

/** What is to come about takes turns of the event loop, and time. */
async function after<T>(runtime: ManualRuntime, promise: Promise<T>): Promise<T> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let i = 0; i < 5000 && !settled; i++) await runtime.advance(20);
  return promise;
}

/** Two processes with one clock on a store. */
function two() {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  return { runtime, here: open(store, runtime), there: open(store, runtime) };
}

test("while the engine is away a view says that it is stale, shows what it knew, and catches up afterwards", async () => {
  const { runtime, here, there } = two();
  await using watching = here;
  await using serving = there;
  await using server = createRegistry(serving.engine);
  await using registry = createRegistry(watching.engine, "default", { staleAfter: "6s" });
  const a = await after(runtime, server.register("orders", { id: "a", address: "a:1", ttl: "1h" }));
  await using view = registry.watch("orders");
  await after(runtime, view.ready());
  await runtime.advance(60_000);
  assert.equal(staleOf(view), undefined);
  const before = runtime.clock.now();
  watching.tap.away = true;
  await runtime.advance(3000);
  assert.equal(staleOf(view), undefined);
  await runtime.advance(10_000);
  const stale = staleOf(view);
  assert.ok(stale && stale.since <= before && stale.since > before - 3000 && stale.forMs >= 13_000);
  assert.deepEqual(ids(view.instances), ["a"]);
  await after(runtime, server.register("orders", { id: "b", address: "b:1", ttl: "1h" }));
  await after(runtime, a.close());
  watching.tap.away = false;
  await runtime.advance(3000);
  assert.equal(staleOf(view), undefined);
  assert.deepEqual(ids(view.instances), ["b"]);
});

test("a view opened while the engine is away waits for it, no longer than it is told to", async () => {
  const { runtime, here, there } = two();
  await using watching = here;
  await using serving = there;
  await using server = createRegistry(serving.engine);
  await after(runtime, server.register("orders", { id: "a", address: "a:1" }));
  watching.tap.away = true;
  await using registry = createRegistry(watching.engine);
  await using view = registry.watch("orders");
  await assert.rejects(after(runtime, view.ready({ timeout: 100 })), (error) => isAshlarError(error, "TIMEOUT"));
  assert.deepEqual(view.instances, []);
  const ready = view.ready();
  watching.tap.away = false;
  await after(runtime, ready);
  assert.deepEqual(ids(view.instances), ["a"]);
});

test("a lost registration is made again once the engine is back, unless it is not to be", async () => {
  const { runtime, here, there } = two();
  await using watching = here;
  await using serving = there;
  const heard: string[] = [];
  const listeners = (["lost", "restored", "ended"] as const).map((event) => {
    const listen = (message: unknown): void => void heard.push(`${event} ${(message as { id: string }).id}`);
    subscribe(`ashlar:registry:${event}`, listen);
    return () => unsubscribe(`ashlar:registry:${event}`, listen);
  });
  await using server = createRegistry(serving.engine, "default", { ttl: "2s" });
  await using registry = createRegistry(watching.engine);
  const lasting = await after(runtime, server.register("orders", { id: "lasting", address: "a:1" }));
  const once = await after(runtime, server.register("orders", { id: "once", address: "a:2", reregister: false }));
  await using view = registry.watch("orders");
  await after(runtime, view.ready());
  serving.tap.away = true;
  await runtime.advance(5000);
  assert.ok(!lasting.registered && !lasting.signal.aborted);
  assert.ok(isAshlarError(once.signal.reason, "LEASE_LOST"));
  assert.deepEqual(view.instances, []);
  const updated = lasting.update({ weight: 7 });
  // Long enough for the entry to be swept.
  await runtime.advance(20_000);
  serving.tap.away = false;
  await after(runtime, updated);
  await runtime.advance(100);
  assert.ok(lasting.registered);
  assert.deepEqual(ids(view.instances), ["lasting"]);
  assert.equal(view.get("lasting")?.weight, 7);
  assert.deepEqual(heard.sort(), ["ended once", "lost lasting", "lost once", "restored lasting"].sort());
  for (const stop of listeners) stop();
});

test("an instance is shown as long as its lease lasts, and its entry is swept afterwards", async () => {
  const { runtime, here, there } = two();
  await using watching = here;
  await using registry = createRegistry(watching.engine);
  const server = createRegistry(there.engine, "default", { ttl: "10s" });
  await after(runtime, server.register("orders", { id: "a", address: "a:1" }));
  await using view = registry.watch("orders");
  await after(runtime, view.ready());
  await runtime.advance(60_000);
  await there.die();
  await runtime.advance(6_000);
  assert.deepEqual(ids(view.instances), ["a"]);
  await runtime.advance(6_000);
  assert.deepEqual(view.instances, []);
  await runtime.advance(6_000);
  assert.equal(await watching.engine.kv.get(["registry", "default", "orders", "a"]), undefined);
});

test("a registration that is removed or replaced finds out by itself", async () => {
  const { runtime, here, there } = two();
  await using watching = here;
  await using serving = there;
  await using server = createRegistry(serving.engine);
  await using registry = createRegistry(watching.engine);
  const removed = await after(runtime, server.register("orders", { id: "a", address: "a:1" }));
  const replaced = await after(runtime, server.register("orders", { id: "b", address: "b:1" }));
  const stays = await after(runtime, server.register("orders", { id: "c", address: "c:1" }));
  await after(runtime, registry.remove("orders", "a"));
  await after(runtime, registry.register("orders", { id: "b", address: "b:2" }));
  await runtime.advance(15_000);
  assert.ok(isAshlarError(removed.signal.reason, "INVALID_STATE"));
  assert.ok(isAshlarError(replaced.signal.reason, "CONFLICT"));
  assert.ok(stays.registered);
  assert.deepEqual(
    (await registry.instances("orders")).map(({ address }) => address),
    ["b:2", "c:1"],
  );
});

test("a registration that was given up in doubt does not come into being later", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  await using process = open(store, runtime, { doubt: true });
  await using registry = createRegistry(process.engine);
  await after(runtime, registry.register("orders", { id: "first", address: "a:1" }));
  let late: (() => unknown) | undefined;
  process.tap.intercept = (_, pass) => {
    process.tap.intercept = undefined;
    late = pass;
    throw new OutcomeUnknownError("injected: still under way");
  };
  const controller = new AbortController();
  const given = registry.register("orders", { id: "ghost", address: "a:2", signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(after(runtime, given));
  await runtime.advance(2000);
  assert.ok(late, "the commit was under way");
  await late();
  await runtime.advance(2000);
  const entry = await process.engine.kv.get<Stored>(["registry", "default", "orders", "ghost"]);
  assert.ok(!entry || "void" in entry.value);
  assert.deepEqual(ids(await registry.instances("orders")), ["first"]);
});

test("a bad connection delays what views show and falsifies nothing", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore(runtime);
    const faults = { refused: 0.1, answerLost: 0.1, late: 0.05, read: 0.1, reset: 0.2 };
    const bad = createFaultyDriver(createMemoryDriver(store), runtime, faults);
    await using engine = createEngine(bad.driver, { runtime });
    await using well = createEngine(createMemoryDriver(store), { runtime });
    await using registry = createRegistry(engine);
    await using control = createRegistry(well);
    const view = registry.watch("orders");
    const live = new Set<string>();
    for (let i = 0; i < 30; i++) {
      const id = `${i}`;
      const registration = await registry.register("orders", { id, address: "a:1" }).catch((error: unknown) => {
        assert.ok(isAshlarError(error));
        return undefined;
      });
      if (!registration) continue;
      if (i % 3 === 0) await registration.close();
      else live.add(id);
    }
    const expected = [...live].sort().join();
    for await (const _ of view.changes({ signal: AbortSignal.timeout(10_000) }))
      if (ids(view.instances).join() === expected) break;
    const stored = async (): Promise<string> => ids(await control.instances("orders")).join();
    for (let i = 0; i < 100 && (await stored()) !== expected; i++) await runtime.timers.immediate(() => {});
    assert.equal(await stored(), expected);
  }
});
