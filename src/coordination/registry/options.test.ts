import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createRegistry, type Instance, type InstanceFilter } from "./index.ts";

const refused = (name: string) => (error: unknown) =>
  isAshlarError(error, "INVALID_ARGUMENT") && error.message.startsWith(name);
const address = "a:1";

test("what is not allowed is refused by its name before anything is written", async () => {
  await using engine = await openMemory();
  await using registry = createRegistry(engine);
  const long = "x".repeat(201);
  const cases: [string, object][] = [
    ["address", {}],
    ["address", { address: "" }],
    ["address", { address: { host: "a", port: 0 } }],
    ["address", { address: { host: "a", port: 65_536 } }],
    ["address", { address: { host: "a", port: 80, path: "/" } }],
    ["zone", { address, zone: "" }],
    ["version", { address, version: long }],
    ["weight", { address, weight: -1 }],
    ["weight", { address, weight: Number.NaN }],
    ["health", { address, health: "fine" }],
    ["metadata.a", { address, metadata: { a: 1 } }],
    ["metadata", { address, metadata: { a: "x".repeat(9000) } }],
    ["metadata", { address, metadata: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`${i}`, ""])) }],
    ["id", { address, id: long }],
    ["ttl", { address, ttl: 99 }],
    ["options.adress", { adress: "a:1" }],
    ["options.heath", { address, heath: "passing" }],
  ];
  for (const [name, options] of cases)
    await assert.rejects(registry.register("orders", options as never), refused(name), JSON.stringify(options));
  await assert.rejects(registry.register("", { address }), refused("service"));
  await assert.rejects(registry.registerExternal("orders", { address } as never), refused("id"));
  await assert.rejects(registry.registerExternal("orders", { address, id: "a", ttl: 500 }), refused("ttl"));
  await assert.rejects(registry.instances("orders", { region: "eu" } as never), refused("filter.region"));
  assert.throws(() => registry.watch("orders", { filter: { health: "fine" as never } }), refused("filter.health"));
  assert.throws(() => createRegistry(engine, ""), refused("name"));
  assert.throws(() => createRegistry(engine, "a", { staleafter: 1000 } as never), refused("options.staleafter"));
  assert.deepEqual(await registry.services(), []);
});

test("a filter lets through what has all that it names", async () => {
  await using engine = await openMemory();
  await using registry = createRegistry(engine);
  await registry.register("orders", { id: "a", address, zone: "eu", version: "1", metadata: { rack: "7", row: "1" } });
  await registry.register("orders", { id: "b", address, zone: "us", version: "2", health: "critical" });
  await registry.register("orders", { id: "c", address });
  await registry.register("mail", { id: "d", address });
  const found = async (filter?: InstanceFilter): Promise<string> =>
    (await registry.instances("orders", filter)).map(({ id }: Instance) => id).join("");
  assert.equal(await found(), "abc");
  assert.equal(await found({ zone: "eu" }), "a");
  assert.equal(await found({ zone: ["us", "eu"] }), "ab");
  assert.equal(await found({ zone: ["us", "eu"], version: "2" }), "b");
  assert.equal(await found({ health: "passing" }), "ac");
  assert.equal(await found({ metadata: { rack: "7" } }), "a");
  assert.equal(await found({ metadata: { rack: "7", row: "2" } }), "");
  assert.equal(await found({ metadata: { toString: "x" } }), "");
  assert.equal(await found({ zone: [] }), "");
  assert.deepEqual(await registry.services(), ["mail", "orders"]);
});

test("registries of different names and namespaces know nothing of each other", async () => {
  await using engine = await openMemory();
  await using one = createRegistry(engine, "one");
  await using other = createRegistry(engine, "other");
  await using scoped = createRegistry(engine.scope("tenant"), "one");
  await one.register("orders", { id: "a", address });
  await scoped.register("orders", { id: "b", address });
  const ids = async (registry: typeof one): Promise<string[]> =>
    (await registry.instances("orders")).map(({ id }) => id);
  assert.deepEqual([await ids(one), await ids(other), await ids(scoped)], [["a"], [], ["b"]]);
});

test("a closed registry has taken back its registrations and closed its views", async () => {
  await using engine = await openMemory();
  const registry = createRegistry(engine);
  await using other = createRegistry(engine);
  const registration = await registry.register("orders", { id: "a", address });
  const view = registry.watch("orders");
  const controller = new AbortController();
  const brief = registry.watch("orders", { signal: controller.signal });
  await view.ready();
  controller.abort();
  assert.throws(
    () => brief.instances,
    (error) => isAshlarError(error, "CLOSED"),
  );
  assert.equal(view.instances.length, 1);
  await registry.close();
  await registry.close();
  assert.ok(registration.signal.aborted);
  assert.throws(
    () => view.instances,
    (error) => isAshlarError(error, "CLOSED"),
  );
  await assert.rejects(registry.register("orders", { address }), (error) => isAshlarError(error, "CLOSED"));
  assert.deepEqual(await other.instances("orders"), []);
});
