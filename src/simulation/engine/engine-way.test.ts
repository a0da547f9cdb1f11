import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { FaultKind } from "../faults.ts";
import type { Scenario, SimulatedNode } from "../scenario.ts";
import { simulate } from "../simulate.ts";

/** Forty commits by two clients while one kind of fault strikes this often; what the clients heard, and what was applied. */
async function commits(kind: FaultKind, strength: number) {
  const heard = new Map<string, string>();
  let applied: string[] = [];
  const scenario: Scenario = {
    faults: [kind],
    strengths: { [kind]: strength },
    workload: {
      clients: 2,
      operations: 20,
      operation: async ({ engine, name, operation }) => {
        const id = `${name}.${operation}`;
        try {
          await engine.kv.set(["done", id], true);
          heard.set(id, "ok");
        } catch (error) {
          assert.ok(isAshlarError(error));
          heard.set(id, error.code);
        }
      },
    },
    eventually: {
      settled: async (world) => {
        applied = await keysOf(world.engine);
        return true;
      },
    },
  };
  const { failure, struck } = await simulate({ ...scenario, seed: 5 });
  assert.equal(failure, undefined);
  const with_ = (code: string) => [...heard].filter(([, said]) => said === code).map(([id]) => id);
  return {
    heard,
    struck,
    ok: with_("ok"),
    unknown: with_("OUTCOME_UNKNOWN"),
    unavailable: with_("UNAVAILABLE"),
    applied,
  };
}

async function keysOf(engine: Engine): Promise<string[]> {
  return (await Array.fromAsync(engine.kv.list({ prefix: ["done"] }))).map(({ key }) => String(key[1]));
}

test("without faults every commit is acknowledged and applied", async () => {
  const { ok, applied, struck } = await commits("engine-refused", 0);
  assert.equal(ok.length, 40);
  assert.deepEqual(applied.sort(), ok.sort());
  assert.deepEqual(struck, []);
});

test("a refused call is definite: nothing was applied", async () => {
  const { ok, unavailable, applied } = await commits("engine-refused", 0.3);
  assert.ok(unavailable.length > 5);
  assert.equal(ok.length + unavailable.length, 40);
  assert.deepEqual(applied.sort(), ok.sort());
});

test("a lost request is of unknown outcome, and nothing was applied", async () => {
  const { ok, unknown, applied } = await commits("engine-request-lost", 0.3);
  assert.ok(unknown.length > 5);
  assert.deepEqual(applied.sort(), ok.sort());
});

test("a lost reply is of unknown outcome, and the commit was applied", async () => {
  const { ok, unknown, applied } = await commits("engine-reply-lost", 0.3);
  assert.ok(unknown.length > 5);
  assert.deepEqual(applied.sort(), [...ok, ...unknown].sort());
});

test("a late commit is of unknown outcome and arrives in the end", async () => {
  const { ok, unknown, applied } = await commits("engine-late", 0.3);
  assert.ok(unknown.length > 5);
  assert.deepEqual(applied.sort(), [...ok, ...unknown].sort());
});

test("a stall holds everybody up and loses nothing", async () => {
  const { ok, applied, struck } = await commits("engine-stall", 0.5);
  assert.ok(struck.length > 0);
  assert.equal(ok.length, 40);
  assert.deepEqual(applied.sort(), ok.sort());
});

test("without a way to the engine calls fail, as unknown or as unavailable, and go through when there is one again", async () => {
  const { ok, unknown, unavailable, applied } = await commits("isolate", 1);
  assert.ok(unavailable.length > 0 && unknown.length > 0 && ok.length > 0);
  for (const id of ok) assert.ok(applied.includes(id));
  for (const id of unavailable) assert.ok(!applied.includes(id));
});

test("a commit that was sent before its process crashed is applied", async () => {
  let applied = 0;
  let answered = 0;
  const start = async ({ engine, runtime, incarnation }: SimulatedNode): Promise<void> => {
    const work = async (): Promise<void> => {
      for (let i = 0; ; i++) {
        await engine.kv.set(["done", `${incarnation}.${i}`], true);
        answered++;
        await sleep(runtime, 1);
      }
    };
    void work();
  };
  const scenario: Scenario = {
    faults: ["crash"],
    strengths: { crash: 0.5 },
    nodes: { worker: { start } },
    workload: { clients: 1, operations: 100, think: 100, operation: () => {} },
    eventually: {
      settled: async ({ engine }) => {
        applied = (await keysOf(engine)).length;
        return true;
      },
    },
  };
  const { struck, failure } = await simulate({ ...scenario, seed: 3 });
  assert.equal(failure, undefined);
  assert.ok(applied > answered, `${applied} applied, ${answered} answered, ${struck.length} crashes`);
  assert.ok(applied <= answered + struck.length + 1);
});

test("a watch over a feed that loses its place again and again holds the last state", async () => {
  const held = new Map<string, unknown>();
  const start = ({ engine }: SimulatedNode): void => {
    void (async () => {
      for await (const changes of engine.kv.watch({ prefix: ["k"] })) {
        for (const change of changes) held.set(String(change.key[1]), change.value);
      }
    })();
  };
  const scenario: Scenario = {
    faults: ["watch-reset"],
    strengths: { "watch-reset": 0.5 },
    nodes: { watcher: { start } },
    workload: {
      operation: async ({ engine, name, operation }) => void (await engine.kv.set(["k", name], operation)),
    },
    eventually: {
      "the last state is held": () => held.size === 3 && [...held.values()].every((value) => value === 19),
    },
  };
  const { failure, struck } = await simulate({ ...scenario, seed: 1 });
  assert.equal(failure, undefined);
  assert.ok(struck.length > 10);
});
