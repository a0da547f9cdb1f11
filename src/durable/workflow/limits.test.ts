import assert from "node:assert/strict";
import { test } from "node:test";
import { code, until } from "../../../test/on-stores.ts";
import { createEngine, type Engine, portableLimits } from "../../engine/index.ts";
import { createKeyedDriver } from "../../engine/layers/testing/keyed-driver.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { createWorkflows, defineSignal, defineWorkflow } from "./index.ts";

const Word = defineSignal<string>("word");

/** On an engine that has no more room than every engine has. */
function onPortable(fn: (engine: Engine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using engine = createEngine(createKeyedDriver(new MemoryStore(), { limits: portableLimits }));
    await fn(engine);
  };
}

test(
  "steps that end together are recorded in as many commits as they need",
  onPortable(async (engine) => {
    const many = defineWorkflow("many", async (ctx) => {
      const small = await Promise.all(Array.from({ length: 250 }, (_, i) => ctx.step(`s${i}`, () => i)));
      const large = await Promise.all(
        Array.from({ length: 12 }, (_, i) => ctx.step(`l${i}`, () => "x".repeat(200_000))),
      );
      for (let i = 0; i < 120; i++) ctx.patched(`p${i}`);
      await ctx.step("last", () => {});
      return [small.length, large.length];
    });
    const workflows = createWorkflows(engine, [many], { shards: 1 });
    await using _ = workflows.work({ concurrency: 500 });
    const run = await workflows.start(many, undefined);
    assert.deepEqual(await run.result(), [250, 12]);
    assert.equal((await run.history()).length, 250 + 12 + 120 + 1);
  }),
);

test(
  "what cannot be kept is a failure: of the step, of the run, or of whoever sends it",
  onPortable(async (engine) => {
    const most = engine.limits.valueBytes;
    const flow = defineWorkflow("flow", async (ctx, bytes: number) => {
      const kept: number[] = [];
      for (let size = bytes; size < bytes + 400; size += 7)
        await ctx
          .step(`${size}`, () => "x".repeat(size))
          .then(
            () => kept.push(size),
            () => {},
          );
      return kept.length;
    });
    const large = defineWorkflow("large", async (_, size: number) => "x".repeat(size));
    const deaf = defineWorkflow("deaf", async (ctx) => await ctx.waitFor(defineSignal("never")));
    const workflows = createWorkflows(engine, [flow, large, deaf], { shards: 1 });
    await using _ = workflows.work();
    const kept = await (await workflows.start(flow, most - 400)).result();
    assert.ok(kept > 0 && kept < 57, `${kept} were kept`);
    const run = await workflows.start(large, most);
    await assert.rejects(run.result(), code("WORKFLOW_FAILED"));
    assert.match((await run.info())?.error?.message ?? "", /limit/);
    const listener = await workflows.start(deaf, undefined);
    await assert.rejects(listener.signal(Word, "x".repeat(most - 100)), code("LIMIT"));
    await listener.terminate();
  }),
);

test(
  "many messages that nobody takes, and many runs that wake together, keep nobody from going on",
  onPortable(async (engine) => {
    const sleeper = defineWorkflow("sleeper", async (ctx) => await ctx.sleep(150));
    const talk = defineWorkflow("talk", async (ctx) => {
      await ctx.waitFor(defineSignal("begin"));
      let heard = 0;
      while ((await ctx.waitFor(Word)) !== "end") heard++;
      return heard;
    });
    const workflows = createWorkflows(engine, [sleeper, talk], { shards: 1, parkAfter: 0 });
    await using worker = workflows.work();
    const runs = await Promise.all(Array.from({ length: 130 }, () => workflows.start(sleeper, undefined)));
    const listener = await workflows.start(talk, undefined);
    for (let i = 0; i < 150; i++) await listener.signal(Word, "word");
    await Promise.all(runs.map((run) => run.result()));
    await until(() => worker.live <= 1);
    await listener.signal(defineSignal("begin"), undefined);
    await listener.signal(Word, "end");
    assert.equal(await listener.result(), 150);
  }),
);

test(
  "a run whose history is as long as it may be is cancelled, and may clean up",
  onPortable(async (engine) => {
    let cleaned = 0;
    const loop = defineWorkflow("loop", async (ctx) => {
      try {
        for (;;) await ctx.step("again", () => {});
      } finally {
        await ctx.shielded(() => ctx.step("clean", () => void cleaned++));
      }
    });
    const stubborn = defineWorkflow("stubborn", async (ctx) => {
      for (;;) await ctx.shielded(() => ctx.step("again", () => {})).catch(() => {});
    });
    const workflows = createWorkflows(engine, [loop, stubborn], { shards: 1, maxHistory: 30 });
    await using _ = workflows.work();
    const run = await workflows.start(loop, undefined);
    await assert.rejects(run.result(), /history of 30 events/);
    assert.equal((await run.info())?.status, "cancelled");
    assert.equal(cleaned, 1);
    const other = await workflows.start(stubborn, undefined);
    await until(async () => (await other.info())?.status === "stuck");
    assert.equal((await other.history()).length, 60);
  }),
);
