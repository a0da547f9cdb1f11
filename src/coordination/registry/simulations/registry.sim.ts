import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createRegistry, type Registration, type ServiceView } from "../index.ts";
import type { Stored } from "../record.ts";

/**
 * Servers that register, change, take back, register anew, die, or stand still for longer than their time to live; and watchers with a view each.
 *
 * Invariants: a view shows nothing that never registered, and goes on to show what it has shown as long as its entry and its lease are in the store; after the faults, within the
 * budget for healing, every view shows exactly what the servers that run have registered, as it stands in the store, and says that it is not stale.
 */
export const registry: Scenario = {
  name: "registry",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { server: { count: 3, start: serve }, watcher: { count: 2, start: watch } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "30s" },
  invariants: { "views show what has registered": onlyRegistered, "views keep what lives": keepsTheLiving },
  eventually: { "views show what is registered": converged },
};

/** How a view has been seen so far. */
interface Watched {
  readonly view: ServiceView;
  /** Those that never come back under another lease. */
  readonly seen: Set<string>;
}

type State = World["state"];
const ever = (state: State) => state.get("ever") as Set<string>;
const current = (state: State) => state.get("current") as Map<string, Map<string, Registration>>;
const views = (state: State) => state.get("views") as Map<string, Watched>;
const once = "once";

function setup({ state }: World): void {
  state.set("ever", new Set());
  for (const name of ["current", "views"]) state.set(name, new Map());
}

function serve({ engine, name, runtime, state, incarnation }: SimulatedNode): void {
  const own = new Map<string, Registration>();
  current(state).set(name, own);
  const registry = createRegistry(engine, "services", { ttl: "2s" });
  const pause = (mean: number) => sleep(runtime, runtime.random.next() * 2 * mean);
  const serveOnce = async (id: string): Promise<void> => {
    const reregister = !id.startsWith(once);
    ever(state).add(id);
    const registration = await registry.register("orders", { id, address: `${name}:1`, reregister });
    own.set(id, registration);
    try {
      for (let i = Math.floor(runtime.random.next() * 8); i > 0 && !registration.signal.aborted; i--) {
        await pause(300);
        const weight = Math.floor(runtime.random.next() * 100);
        await registration.update({ weight }).catch(expectTrouble);
      }
      await pause(1500);
    } finally {
      own.delete(id);
      await registration.close();
    }
  };
  const serveOn = async (): Promise<void> => {
    for (let n = 0; ; n++) {
      const kind = runtime.random.next() < 0.5 ? once : "lasting";
      await serveOnce(`${kind} ${name} ${incarnation} ${n}`).catch(expectTrouble);
      await pause(200);
    }
  };
  const stay = async (): Promise<void> => {
    for (let n = 0; ; n++) {
      const id = `staying ${name} ${incarnation} ${n}`;
      ever(state).add(id);
      try {
        own.set(id, await registry.register("orders", { id, address: `${name}:2` }));
        return;
      } catch (error) {
        expectTrouble(error);
      }
      await pause(200);
    }
  };
  void serveOn();
  void stay();
}

function expectTrouble(error: unknown): void {
  if (!isAshlarError(error) || ["INVALID_STATE", "INVALID_ARGUMENT", "CLOSED"].includes(error.code)) throw error;
}

function watch({ engine, name, runtime, state }: SimulatedNode): void {
  const registry = createRegistry(engine, "services", { staleAfter: "3s" });
  const view = registry.watch("orders");
  views(state).set(name, { view, seen: new Set() });
  // Reads sweep what the dead have left. Where nobody reads, views alone have to notice.
  if (runtime.random.next() < 0.5) return;
  void (async () => {
    for (;;) {
      await sleep(runtime, runtime.random.next() * 2000);
      await registry.instances("orders").catch(expectTrouble);
    }
  })();
}

function* present(world: World): Generator<[string, Watched]> {
  const alive = new Set(world.running("watcher"));
  for (const [name, watched] of views(world.state)) if (alive.has(name)) yield [name, watched];
}

function onlyRegistered(world: World): void {
  for (const [name, { view }] of present(world))
    for (const { id } of view.instances) assert.ok(ever(world.state).has(id), `${name} shows ${id}`);
}

async function keepsTheLiving(world: World): Promise<void> {
  for (const [name, { view, seen }] of [...present(world)]) {
    const shown = new Set(view.instances.map(({ id }) => id));
    for (const id of seen) {
      if (shown.has(id)) continue;
      seen.delete(id);
      const entry = await world.engine.kv.get<Stored>(["registry", "services", "orders", id]);
      if (!entry || !("lease" in entry.value) || entry.value.lease === undefined) continue;
      const lives = (await world.engine.kv.get(["lease", entry.value.lease])) !== undefined;
      assert.ok(!lives, `${name} does not show ${id} any more, which lives`);
    }
    for (const id of shown) if (id.startsWith(once)) seen.add(id);
  }
}

async function converged(world: World): Promise<boolean> {
  const alive = new Set(world.running("server"));
  const expected: string[] = [];
  for (const [name, own] of current(world.state)) {
    if (!alive.has(name)) return false;
    for (const [id, registration] of own) if (!registration.signal.aborted) expected.push(id);
  }
  const stored = await storedLiving(world);
  assert.deepEqual([...stored.keys()], expected.sort());
  const shown = [...present(world)];
  for (const [name, { view }] of shown) {
    assert.equal(view.stale, undefined, `${name} is stale`);
    const weights = new Map(view.instances.map(({ id, weight }) => [id, weight]));
    assert.deepEqual(weights, stored, `${name} does not show what is stored`);
  }
  return shown.length > 0 && expected.some((id) => id.startsWith("staying"));
}

/** The weights of the instances whose leases are there. Looked up by hand: a read by the registry would sweep, and the views are to notice by themselves. */
async function storedLiving({ engine }: World): Promise<Map<string, number>> {
  const stored = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<Stored>({ prefix: ["registry", "services", "orders"] })) {
    if (!("lease" in value) || value.lease === undefined) continue;
    if (await engine.kv.get(["lease", value.lease])) stored.set(key.at(-1) as string, value.weight);
  }
  return stored;
}
