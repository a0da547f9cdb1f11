import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createRegistry, type Instance, type Registry, type ServiceView } from "./index.ts";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    isAshlarError(error, expected as "CONFLICT");
const ids = (instances: readonly Instance[]): string[] => instances.map(({ id }) => id);

/** Resolves when the view shows these. */
async function shows(view: ServiceView, expected: readonly string[]): Promise<void> {
  const wanted = expected.join();
  if (ids(view.instances).join() === wanted) return;
  for await (const _ of view.changes({ signal: AbortSignal.timeout(20_000) }))
    if (ids(view.instances).join() === wanted) return;
}

for (const { name, skip, create } of storeKinds) {
  describe(`a registry on ${name}`, { skip }, () => {
    async function withStore(fn: (open: () => Promise<Engine>) => Promise<void>): Promise<void> {
      await using store = await create();
      await fn(() => store.open());
    }
    const withTwo = (fn: (here: Registry, there: Registry, engines: [Engine, Engine]) => Promise<void>) =>
      withStore(async (open) => {
        const [a, b] = [await open(), await open()];
        await using here = createRegistry(a);
        await using there = createRegistry(b);
        await fn(here, there, [a, b]);
      });

    test("an instance that registers is seen by others as it said, until it closes", () =>
      withTwo(async (here, there) => {
        await using view = there.watch("orders");
        await view.ready();
        assert.equal(view.instances.length, 0);
        const registration = await here.register("orders", {
          id: "a",
          address: { host: "10.0.0.1", port: 8080 },
          zone: "eu-1",
          version: "1.2.3",
          weight: 3,
          metadata: { rack: "7" },
        });
        assert.ok(registration.registered);
        await shows(view, ["a"]);
        const [instance] = view.instances;
        assert.deepEqual(
          { ...instance, since: 0 },
          {
            service: "orders",
            id: "a",
            address: { host: "10.0.0.1", port: 8080 },
            zone: "eu-1",
            version: "1.2.3",
            weight: 3,
            health: "passing",
            metadata: { rack: "7" },
            since: 0,
          },
        );
        assert.ok(Object.isFrozen(instance) && Object.isFrozen(instance?.metadata) && Object.isFrozen(view.instances));
        assert.equal(view.get("a"), instance);
        assert.deepEqual(await there.instances("orders"), view.instances);
        assert.deepEqual(await there.services(), ["orders"]);
        await registration.close();
        await registration.close();
        assert.ok(!registration.registered);
        assert.ok(code("CLOSED")(registration.signal.reason));
        await shows(view, []);
        assert.deepEqual(await there.instances("orders"), []);
        assert.deepEqual(await there.services(), []);
      }));

    test("changes are told as joined, changed and left, each once, and what was over is skipped", () =>
      withTwo(async (here, there) => {
        const a = await here.register("orders", { id: "a", address: "a:1" });
        await using view = there.watch("orders");
        const changes = view.changes();
        const next = async (): Promise<string[]> => {
          const { value } = await changes.next();
          return (value ?? []).map(({ kind, instance }) => `${kind} ${instance.id} ${instance.health}`);
        };
        assert.deepEqual(await next(), ["joined a passing"]);
        await a.update({ health: "draining" });
        assert.deepEqual(await next(), ["changed a draining"]);
        await using passing = there.watch("orders", { filter: { health: ["passing", "warning"] } });
        await passing.ready();
        assert.deepEqual(passing.instances, []);
        assert.equal(passing.get("a"), undefined);
        await here.register("orders", { id: "c", address: "c:1" });
        await here.register("orders", { id: "b", address: "b:1" });
        await shows(view, ["a", "b", "c"]);
        assert.deepEqual(ids(passing.instances), ["b", "c"]);
        assert.equal(passing.instances, passing.instances);
        await a.close();
        await shows(view, ["b", "c"]);
        assert.deepEqual((await next()).sort(), ["joined b passing", "joined c passing", "left a draining"]);
        await view.close();
        assert.deepEqual(await changes.next(), { done: true, value: undefined });
        assert.throws(() => view.instances, code("CLOSED"));
      }));

    test("an instance of a process that died is gone when its lease is, from views and from the store", () =>
      withTwo(async (here, there, [a]) => {
        await here.register("orders", { id: "dead", address: "a:1", ttl: 300 });
        await there.register("orders", { id: "other", address: "b:1" });
        await using view = there.watch("orders");
        await view.ready();
        assert.deepEqual(ids(view.instances), ["dead", "other"]);
        // Its leases end with the engine, and nobody takes back the entry.
        await a.close();
        await shows(view, ["other"]);
        assert.deepEqual(ids(await there.instances("orders")), ["other"]);
      }));

    test("a registration under an id that is taken replaces the earlier one, which ends and takes nothing back", () =>
      withTwo(async (here, there) => {
        const old = await here.register("orders", { id: "a", address: "old:1" });
        const fresh = await there.register("orders", { id: "a", address: "new:1" });
        await assert.rejects(old.update({ weight: 2 }), code("CONFLICT"));
        assert.ok(code("CONFLICT")(old.signal.reason));
        await old.close();
        assert.deepEqual(
          (await here.instances("orders")).map(({ address }) => address),
          ["new:1"],
        );
        await fresh.update({ weight: 5, metadata: { a: "b" } });
        const [instance] = await here.instances("orders", { metadata: { a: "b" } });
        assert.equal(instance?.weight, 5);
      }));

    test("an external instance lives by its heartbeats, or until it is removed", () =>
      withTwo(async (here, there) => {
        const legacy = await here.registerExternal("db", { id: "legacy", address: "10.0.0.9:5432" });
        const beating = await here.registerExternal("db", { id: "beating", address: "10.0.0.8:5432", ttl: "1s" });
        await using view = there.watch("db");
        await shows(view, ["beating", "legacy"]);
        const before = view.get("beating");
        await beating.heartbeat();
        await beating.update({ health: "warning" });
        assert.equal(before?.health, "passing");
        await shows(view, ["legacy"]);
        await assert.rejects(beating.heartbeat(), code("LEASE_LOST"));
        await here.close();
        assert.deepEqual(ids(await there.instances("db")), ["legacy"]);
        assert.equal(await legacy.remove(), true);
        assert.equal(await legacy.remove(), false);
        await shows(view, []);
      }));

    test("an instance that an operator removed is told so and stays away", () =>
      withTwo(async (here, there) => {
        const registration = await here.register("orders", { id: "a", address: "a:1" });
        assert.equal(await there.remove("orders", "a"), true);
        assert.equal(await there.remove("orders", "a"), false);
        await assert.rejects(registration.update({ weight: 2 }), code("INVALID_STATE"));
        assert.ok(registration.signal.aborted);
        assert.deepEqual(await here.instances("orders"), []);
      }));
  });
}
