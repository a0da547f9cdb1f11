import assert from "node:assert/strict";
import { test } from "node:test";
import { on, onAllStores } from "../../../test/on-stores.ts";
import { createWorkflows, defineWorkflow, FatalError } from "./index.ts";

onAllStores("workflows", (kind) => {
  test(
    "branches of a saga that are still at it when another fails are awaited, and taken back as well; they begin nothing more",
    on(kind, async (a) => {
      const done: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        const saga = ctx.saga();
        const isBegun = Promise.withResolvers<void>();
        const book = async (name: string) => {
          const wait = async () => {
            isBegun.resolve();
            await new Promise((resolve) => setTimeout(resolve, 30));
            done.push(name);
          };
          await saga.step(name, wait, { undo: () => void done.push(`undo ${name}`) });
          await ctx.step(`pay ${name}`, () => void done.push(`pay ${name}`)).catch(() => {});
          await saga.step(`more ${name}`, () => void done.push(`more ${name}`), { undo: () => {} });
        };
        const fail = async () =>
          await saga.step("car", async () => {
            await isBegun.promise;
            throw new FatalError("none left");
          });
        await Promise.all([book("hotel"), book("flight"), fail()]);
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      const run = await workflows.start(flow, undefined);
      await assert.rejects(run.result(), /none left/);
      assert.deepEqual(done.slice(0, 2).toSorted(), ["flight", "hotel"]);
      assert.deepEqual(done.slice(2).toSorted(), ["undo flight", "undo hotel"]);
    }),
  );

  test(
    "after the pivot nothing is taken back, whether it had begun before or begins later",
    on(kind, async (a) => {
      const done: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        const saga = ctx.saga();
        const step = (name: string, ms = 0) =>
          saga.step(
            name,
            async () => {
              await new Promise((resolve) => setTimeout(resolve, ms));
              done.push(name);
            },
            { undo: () => void done.push(`undo ${name}`) },
          );
        await step("one");
        const slow = step("slow", 20);
        saga.pivot();
        await step("two");
        await slow;
        throw new Error("too late");
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      await assert.rejects((await workflows.start(flow, undefined)).result(), /too late/);
      assert.deepEqual(done, ["one", "two", "slow"]);
    }),
  );
});
