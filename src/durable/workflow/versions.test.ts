import assert from "node:assert/strict";
import { test } from "node:test";
import { on, onAllStores, until } from "../../../test/on-stores.ts";
import { createWorkflows, defineSignal, defineWorkflow } from "./index.ts";

const Go = defineSignal<number>("go");

onAllStores("versions of workflows", (kind) => {
  test(
    "a change of the code that the history does not bear stops the run with an explanation; patched() keeps it going",
    on(kind, async (a) => {
      const old = defineWorkflow("deal", async (ctx) => {
        await ctx.step("one", () => 1);
        await ctx.waitFor(Go);
        return await ctx.step("two", () => "old");
      });
      const wrong = defineWorkflow("deal", async (ctx) => {
        await ctx.step("zero", () => 0);
        await ctx.step("one", () => 1);
        await ctx.waitFor(Go);
        return await ctx.step("two", () => "wrong");
      });
      const right = defineWorkflow("deal", async (ctx) => {
        if (ctx.patched("with zero")) await ctx.step("zero", () => 0);
        await ctx.step("one", () => 1);
        await ctx.waitFor(Go);
        return await ctx.step("two", () => (ctx.patched("with zero") ? "new" : "old"));
      });
      const options = { shards: 1, parkAfter: 0 } as const;
      const before = createWorkflows(a, [old], options);
      const worker = before.work();
      const run = await before.start(old, undefined, { id: "open" });
      await until(() => worker.live === 0);
      await until(async () => (await run.history()).length === 1);
      await worker.close();
      await run.signal(Go, 1);
      {
        const after = createWorkflows(a, [wrong], options);
        await using _ = after.work();
        await until(async () => (await run.info())?.status === "stuck");
        const { error } = (await run.info()) ?? {};
        assert.match(
          error?.message ?? "",
          /at command 0 its history has step "one", but the code asks for step "zero"/,
        );
      }
      const repaired = createWorkflows(a, [right], options);
      await using _ = repaired.work();
      assert.equal(await run.result(), "old");
      const next = await repaired.start(right, undefined);
      await next.signal(Go, 1);
      assert.equal(await next.result(), "new");
    }),
  );

  test(
    "code that asks for less than the history has is found out as well",
    on(kind, async (a) => {
      const old = defineWorkflow("deal", async (ctx) => {
        await ctx.step("one", () => 1);
        await ctx.step("two", () => 2);
        await ctx.waitFor(Go);
      });
      const idle = defineWorkflow("deal", async (ctx) => {
        await ctx.step("one", () => 1);
        await new Promise(() => {});
      });
      const short = defineWorkflow("deal", async (ctx) => {
        await ctx.step("one", () => 1);
      });
      const options = { shards: 1, parkAfter: 0 } as const;
      const before = createWorkflows(a, [old], options);
      const run = await before.start(old, undefined, { id: "open" });
      {
        await using worker = before.work();
        await until(async () => (await run.history()).length === 2 && worker.live === 0);
      }
      for (const [code, message] of [
        [idle, /at command 1 its history has step "two", but the code asks for nothing more/],
        [short, /at command 1 its history has step "two", but the code has ended/],
      ] as const) {
        await using _ = createWorkflows(a, [code], options).work();
        if ((await run.info())?.status === "open") await run.signal(Go, 1);
        await until(async () => message.test((await run.info())?.error?.message ?? ""));
        assert.equal((await run.info())?.status, "stuck");
      }
      await using _ = before.work();
      assert.equal(await run.result(), undefined);
    }),
  );

  test(
    "a run that has asked for a patch and waits leaves memory, and is answered the same when it is back",
    on(kind, async (a) => {
      const answers: boolean[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        answers.push(ctx.patched("new"));
        await ctx.waitFor(Go);
      });
      const workflows = createWorkflows(a, [flow], { shards: 1, parkAfter: 0 });
      await using worker = workflows.work();
      const run = await workflows.start(flow, undefined);
      await until(() => worker.live === 0 && answers.length === 1);
      await run.signal(Go, 1);
      await run.result();
      assert.deepEqual(answers, [true, true]);
      assert.deepEqual(
        (await run.history()).map(({ kind: what, name }) => `${what} ${name}`),
        ["patch new", "signal go"],
      );
    }),
  );
});
