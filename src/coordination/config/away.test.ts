import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { isAshlarError, OutcomeUnknownError } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { createEngine, type Driver, type Engine } from "../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../engine/memory/index.ts";
import { createFaultyDriver } from "../../engine/testing/faulty-driver.ts";
import { seededRuntime } from "../../engine/testing/seeded.ts";
import { type TappedDriver, tapDriver } from "../lease/testing/tapped-driver.ts";
import { type Config, createConfig, type Stale } from "./index.ts";
import { type Limits, limitsUpTo } from "./testing/limits-schema.ts";

const schema = limitsUpTo(1_000_000);

interface Process extends AsyncDisposable {
  readonly engine: Engine;
  readonly runtime: ManualRuntime;
  readonly tap: TappedDriver;
}

function open(runtime = createManualRuntime(), store = new MemoryStore(runtime), doubt = false): Process {
  const tap = tapDriver(createMemoryDriver(store), { doubt });
  const engine = createEngine(tap.driver, { runtime });
  return { engine, runtime, tap, [Symbol.asyncDispose]: () => engine.close() };
}

const staleOf = (config: Config<Limits>): Stale | undefined => config.stale;

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

test("a value is stale when the engine was silent for longer than allowed, since it last answered", async () => {
  await using process = open();
  const { engine, runtime, tap } = process;
  const heard: unknown[] = [];
  const listen = (message: unknown) => void heard.push(message);
  for (const channel of ["stale", "fresh"]) subscribe(`ashlar:config:${channel}`, listen);
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 }, staleAfter: "15s" });
  await after(runtime, config.ready());
  await runtime.advance(60_000);
  assert.equal(staleOf(config), undefined);
  const asked = runtime.clock.now();
  tap.away = true;
  await runtime.advance(9_000);
  assert.equal(staleOf(config), undefined);
  await runtime.advance(10_000);
  const stale = staleOf(config);
  assert.ok(stale && stale.since <= asked && stale.since >= asked - 5000, `since ${stale?.since}, asked ${asked}`);
  assert.ok(Math.abs(stale.forMs - (runtime.clock.now() - stale.since)) < 1);
  assert.equal(config.get().limit, 1);
  tap.away = false;
  await runtime.advance(2_000);
  assert.equal(staleOf(config), undefined);
  for (const channel of ["stale", "fresh"]) unsubscribe(`ashlar:config:${channel}`, listen);
  const message = { name: "limits", version: 0, since: stale.since };
  assert.deepEqual(heard, [message, message]);
});

test("an engine that hangs makes a value stale too, and one that is away at first is waited for", async () => {
  await using process = open();
  const { engine, runtime, tap } = process;
  tap.away = true;
  await using config = createConfig(engine, "limits", { schema, staleAfter: 300 });
  await assert.rejects(after(runtime, config.ready({ timeout: 100 })), (error) => isAshlarError(error, "TIMEOUT"));
  assert.throws(() => config.get(), /ready/);
  await runtime.advance(300);
  assert.ok(staleOf(config));
  const ready = config.ready();
  tap.away = false;
  await after(runtime, ready);
  assert.equal(staleOf(config), undefined);
  const { getMany } = tap.driver;
  const hanging: Promise<void>[] = [];
  Object.assign(tap.driver, {
    getMany: (...args: Parameters<typeof getMany>) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      hanging.push(promise);
      // Answered in the end, so that nothing stays behind.
      runtime.timers.after(50_000, resolve);
      return promise.then(() => getMany(...args));
    },
  });
  await runtime.advance(2_000);
  assert.ok((staleOf(config)?.forMs ?? 0) >= 1_800);
  assert.ok(hanging.length >= 6, `asked ${hanging.length} times`);
  Object.assign(tap.driver, { getMany });
  await runtime.advance(200);
  assert.equal(staleOf(config), undefined);
});

test("who waits for a first answer learns that the engine, or the configuration, was closed", async () => {
  for (const what of ["engine", "config"] as const) {
    await using process = open();
    process.tap.away = true;
    await using config = createConfig(process.engine, "limits", { schema });
    const ready = assert.rejects(config.ready(), (error) => isAshlarError(error, "CLOSED"));
    await process.runtime.advance(1000);
    await (what === "engine" ? process.engine : config).close();
    await after(process.runtime, ready);
  }
});

test("an answer that took its time says how things were when it was asked, and takes nothing back", async () => {
  await using process = open();
  const { engine, runtime, tap } = process;
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 }, staleAfter: 3000 });
  await after(runtime, config.set({ limit: 5 }));
  const { getMany } = tap.driver;
  let slow = 0;
  let asked = 0;
  Object.assign(tap.driver, {
    getMany: async (...args: Parameters<typeof getMany>) => {
      const answer = await getMany(...args);
      if (slow === 0) return answer;
      asked = runtime.clock.now();
      await new Promise<void>((resolve) => runtime.timers.after(slow, resolve));
      return answer;
    },
  });
  slow = 900;
  while (asked === 0) await runtime.advance(10);
  slow = 0;
  await after(runtime, config.set({ limit: 6 }));
  await runtime.advance(895);
  assert.deepEqual([config.current().version, config.get().limit], [2, 6]);
  tap.away = true;
  await runtime.advance(3000);
  const since = staleOf(config)?.since ?? 0;
  assert.ok(since === asked || (since > asked && since < asked + 900), `since ${since}, asked at ${asked}`);
});

test("times in the history do not go back with the engine's clock", async () => {
  await using process = open();
  await using config = createConfig(process.engine, "limits", { schema });
  const first = await after(process.runtime, config.set({ limit: 1 }));
  process.runtime.setWallClock((first.time ?? 0) - 3_600_000);
  const second = await after(process.runtime, config.set({ limit: 2 }));
  assert.equal(second.time, first.time);
});

test("a change that the watch did not tell is found by the next question", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const tap = tapDriver(createMemoryDriver(store));
  // A feed that opens and then tells nothing but how far it has come.
  const watch: Driver["watch"] = (sink) =>
    tap.driver.watch({
      wants: (key) => sink.wants(key),
      changed: (_changes, topics, position) => sink.changed([], topics, position),
      reset: () => sink.reset(),
      failed: (error) => sink.failed(error),
    });
  await using engine = createEngine({ ...tap.driver, watch }, { runtime });
  await using other = open(runtime, store);
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 }, staleAfter: 300 });
  await using writer = createConfig(other.engine, "limits", { schema, defaults: { limit: 1 } });
  await after(runtime, config.ready());
  await after(runtime, writer.set({ limit: 2 }));
  await runtime.advance(200);
  assert.equal(config.get().limit, 2);
});

test("a commit whose answer is lost for good is found where it stands, and else reported as unknown", async () => {
  await using process = open(createManualRuntime(), undefined, true);
  const { engine, runtime, tap } = process;
  await using config = createConfig(engine, "limits", { schema });
  await after(runtime, config.ready());
  let applied = true;
  tap.intercept = async (commits, pass) => {
    // A commit of one key is one that would settle another.
    if (commits.every(({ mutations }) => mutations.length === 1))
      throw new OutcomeUnknownError("injected: the marker cannot be settled");
    if (applied) await pass();
    throw new OutcomeUnknownError("injected: the answer is lost");
  };
  assert.equal((await after(runtime, config.set({ limit: 1 }))).version, 1);
  assert.equal(config.get().limit, 1);
  applied = false;
  await assert.rejects(
    after(runtime, config.set({ limit: 2 })),
    (error) => isAshlarError(error, "OUTCOME_UNKNOWN") && /version 2/.test(error.message),
  );
  assert.equal(config.get().limit, 1);
});

test("over bad connections no update is lost, none is made twice, and all come to the last version", async () => {
  let doubts = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const runtime = seededRuntime(seed);
    const store = new MemoryStore(runtime);
    const faults = { refused: 0.1, answerLost: 0.1, late: 0.05, read: 0.05, reset: 0.2 };
    const clients = Array.from({ length: 3 }, () => createFaultyDriver(createMemoryDriver(store), runtime, faults));
    const engines = clients.map(({ driver }) => createEngine(driver, { runtime }));
    const configs = engines.map((engine) =>
      createConfig(engine, "limits", { schema, defaults: { limit: 1 }, staleAfter: 100 }),
    );
    const updates = configs.flatMap((config) =>
      Array.from({ length: 6 }, () => config.update(({ limit }) => ({ limit: limit + 1 }))),
    );
    const versions = (await Promise.all(updates)).map(({ version }) => version);
    assert.deepEqual(
      versions.toSorted((a, b) => a - b),
      Array.from({ length: 18 }, (_, i) => i + 1),
      `seed ${seed}`,
    );
    for (const config of configs) {
      for await (const { version, value } of config.watch()) {
        assert.equal(value.limit, version + 1);
        if (version === 18) break;
      }
    }
    doubts += clients.reduce((sum, { counts }) => sum + counts.answerLost + counts.late, 0);
    for (const config of configs) await config.close();
    for (const engine of engines) await engine.close();
  }
  assert.ok(doubts > 5, `${doubts} answers were lost`);
});
