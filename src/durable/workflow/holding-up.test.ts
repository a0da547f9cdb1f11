import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import { createWorkflows, defineSignal, defineUpdate, defineWorkflow, type LogMessage } from "./index.ts";

const Go = defineSignal<number>("go");

onAllStores("holding workflows up", (kind) => {
  test(
    "a run that is paused does nothing, hears nothing, and goes on where it was",
    on(kind, async (a) => {
      const done: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        await ctx.step("one", () => void done.push("one"));
        await ctx.waitFor(Go);
        await ctx.step("two", () => void done.push("two"));
      });
      const workflows = createWorkflows(a, [flow], { shards: 1, parkAfter: 0 });
      await using worker = workflows.work();
      const run = await workflows.start(flow, undefined);
      await until(() => done.length === 1 && worker.live === 0);
      assert.equal(await run.pause(), true);
      assert.equal(await run.pause(), false);
      await run.signal(Go, 1);
      const other = await workflows.start(flow, undefined);
      await other.signal(Go, 1);
      await other.result();
      assert.deepEqual(done, ["one", "one", "two"]);
      assert.equal((await run.info())?.status, "paused");
      assert.equal(await run.resume(), true);
      await run.result();
      assert.equal(done.length, 4);
      assert.equal(await run.resume(), false);
    }),
  );

  test(
    "what is done to a run that waits in memory reaches it there",
    on(kind, async (a) => {
      let executions = 0;
      const flow = defineWorkflow("flow", async (ctx) => {
        executions++;
        await ctx.waitFor(Go);
      });
      const workflows = createWorkflows(a, [flow], { shards: 1, parkAfter: "1h" });
      await using worker = workflows.work();
      const run = await workflows.start(flow, undefined);
      await until(() => executions === 1);
      await run.pause();
      await until(() => worker.live === 0);
      await run.resume();
      await until(() => executions === 2);
      await run.reset(0);
      await until(() => executions === 3);
      await run.terminate();
      await until(() => worker.live === 0);
    }),
  );

  test(
    "a run is taken back to an event of its history, whether it has ended or not",
    on(kind, async (a) => {
      let price = 10;
      const Note = defineUpdate<string, void>("note");
      const flow = defineWorkflow("flow", async (ctx) => {
        const notes: string[] = [];
        ctx.handle(Note, (note) => void notes.push(note));
        const base = await ctx.step("base", () => 1);
        const paid = await ctx.step("price", () => price);
        const [first, second] = [await ctx.waitFor(Go), await ctx.waitFor(Go)];
        return { total: base + paid, heard: [first, second], notes };
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      const run = await workflows.start(flow, undefined);
      await run.update(Note, "a");
      await run.signal(Go, 1);
      await run.signal(Go, 2);
      assert.deepEqual(await run.result(), { total: 11, heard: [1, 2], notes: ["a"] });
      price = 20;
      const at = (await run.history()).findIndex(({ name }) => name === "price");
      await run.reset(at);
      assert.deepEqual(await run.result(), { total: 21, heard: [1, 2], notes: ["a"] });
      await assert.rejects(run.reset(100), code("INVALID_ARGUMENT"));
      await assert.rejects(workflows.run("none").reset(0), code("INVALID_STATE"));
      const open = await workflows.start(flow, undefined);
      await until(async () => (await open.history()).length === 2);
      price = 30;
      await open.reset(0);
      await until(async () => (await open.history()).length === 2);
      await open.signal(Go, 3);
      await open.signal(Go, 4);
      assert.deepEqual(await open.result(), { total: 31, heard: [3, 4], notes: [] });
    }),
  );

  test(
    "a run that takes longer than it may is cancelled, in memory or not",
    on(kind, async (a) => {
      const cleaned: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        try {
          await ctx.sleep("30d");
        } finally {
          await ctx.shielded(() => ctx.step("clean", () => void cleaned.push(ctx.info.id)));
        }
      });
      for (const parkAfter of [0, "1h"] as const) {
        const workflows = createWorkflows(a, [flow], { name: `${parkAfter}`, shards: 1, parkAfter });
        await using _ = workflows.work();
        const run = await workflows.start(flow, undefined, { deadline: 60 });
        await assert.rejects(run.result(), /its deadline has passed/);
        assert.equal((await run.info())?.status, "cancelled");
      }
      assert.equal(cleaned.length, 2);
    }),
  );

  test(
    "what a run tells of itself is told once",
    on(kind, async (a) => {
      const told: LogMessage[] = [];
      const listen = (message: unknown) => void told.push(message as LogMessage);
      subscribe("ashlar:workflow:log", listen);
      const flow = defineWorkflow(`logs on ${kind.name}`, async (ctx) => {
        ctx.log("begun", { by: "test" });
        await ctx.step("one", () => 1);
        ctx.log("one");
        await ctx.waitFor(Go);
        ctx.log("went");
      });
      const workflows = createWorkflows(a, [flow], { shards: 1, parkAfter: 0 });
      const worker = workflows.work();
      const run = await workflows.start(flow, undefined);
      await until(async () => worker.live === 0 && (await run.history()).length === 1);
      await run.signal(Go, 1);
      await run.result();
      await worker.close();
      unsubscribe("ashlar:workflow:log", listen);
      const mine = told.filter(({ id }) => id === run.id);
      assert.deepEqual(
        mine.map(({ message, fields }) => [message, fields]),
        [
          ["begun", { by: "test" }],
          ["one", undefined],
          ["went", undefined],
        ],
      );
    }),
  );
});
