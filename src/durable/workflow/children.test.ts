import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import { createWorkflows, defineSignal, defineWorkflow } from "./index.ts";

const Go = defineSignal<number>("go");

onAllStores("children of workflows", (kind) => {
  test(
    "a parent hears what its children have come to, wherever they are carried on, and each is begun once",
    on(kind, async (a, b) => {
      const begun: string[] = [];
      const child = defineWorkflow("child", async (ctx, n: number) => {
        await ctx.step("begin", () => void begun.push(ctx.info.id));
        if (n === 3) throw new Error("three");
        await ctx.sleep(5);
        return n * 10;
      });
      const parent = defineWorkflow("parent", async (ctx, count: number) => {
        const all = Array.from({ length: count }, (_, n) => ctx.child(child, n).catch((error: Error) => error.message));
        const answers = await Promise.all(all);
        await ctx.waitFor(Go);
        return answers;
      });
      const options = { shards: 4, parkAfter: 0, lease: "1s" } as const;
      const here = createWorkflows(a, [parent, child], options);
      const there = createWorkflows(b, [parent, child], options);
      const first = here.work();
      await using _ = there.work();
      const run = await here.start(parent, 6, { id: "p" });
      await until(async () => (await run.history()).length === 6);
      await first.close();
      await run.signal(Go, 1);
      assert.deepEqual(await run.result(), [0, 10, 20, 'child "child" failed: three', 40, 50]);
      assert.deepEqual(begun.toSorted(), ["p/0", "p/1", "p/2", "p/3", "p/4", "p/5"]);
      assert.deepEqual((await there.run("p/2").info())?.parent, { id: "p" });
      assert.deepEqual(await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "child"] })), []);
    }),
  );

  test(
    "at the end of the parent its children are asked to end, ended, or left alone",
    on(kind, async (a) => {
      const wait = defineWorkflow("wait", async (ctx) => {
        await ctx.waitFor(Go);
        return "went";
      });
      const parent = defineWorkflow("parent", async (ctx) => {
        for (const onParentEnd of ["cancel", "terminate", "abandon"] as const)
          void ctx.child(wait, undefined, { id: onParentEnd, onParentEnd }).catch(() => {});
        await ctx.waitFor(Go);
        if (ctx.info.generation === 0) ctx.continueAsNew(undefined);
      });
      const workflows = createWorkflows(a, [parent, wait], { shards: 2, parkAfter: 0 });
      await using _ = workflows.work();
      const run = await workflows.start(parent, undefined, { id: "p" });
      const statuses = async () =>
        await Promise.all(
          ["cancel", "terminate", "abandon"].map(async (id) => (await workflows.run(id).info())?.status),
        );
      await until(async () => (await statuses()).every((status) => status === "open"));
      await run.signal(Go, 1);
      await until(async () => (await statuses()).join() === "cancelled,terminated,open");
      await workflows.run("abandon").signal(Go, 1);
      assert.equal(await workflows.run("abandon").result(), "went");
      // Its ids are in use: it does without.
      await run.signal(Go, 1);
      await run.result();
      const other = await workflows.start(parent, undefined, { id: "q" });
      await until(async () => (await other.history()).length === 3);
      await other.terminate();
      assert.equal((await other.history())[0]?.error?.message, "there is a run of this id, which is not its child");
    }),
  );

  test(
    "the end of a terminated parent reaches its children, too; one that is cancelled hears no more of them",
    on(kind, async (a) => {
      const wait = defineWorkflow("wait", async (ctx) => await ctx.waitFor(Go));
      const parent = defineWorkflow("parent", async (ctx, id: string) => await ctx.child(wait, undefined, { id }));
      const workflows = createWorkflows(a, [parent, wait], { shards: 2 });
      await using _ = workflows.work();
      const one = await workflows.start(parent, "one");
      const two = await workflows.start(parent, "two");
      for (const id of ["one", "two"]) await until(async () => (await workflows.run(id).info()) !== undefined);
      await one.terminate();
      await two.cancel();
      await assert.rejects(two.result(), code("WORKFLOW_FAILED"));
      for (const id of ["one", "two"]) {
        await assert.rejects(workflows.run(id).result(), code("WORKFLOW_FAILED"));
        assert.equal((await workflows.run(id).info())?.status, "cancelled");
      }
      assert.equal((await two.info())?.status, "cancelled");
    }),
  );

  test(
    "a run goes on anew under its id, keeps messages that nobody took, and its old histories go",
    on(kind, async (a) => {
      const tokens = new Set<string>();
      const seen: string[] = [];
      const loop = defineWorkflow("loop", async (ctx, sum: number) => {
        const n = await ctx.waitFor(Go);
        await ctx.step("add", ({ token, tx }) => {
          tokens.add(token);
          tx.add(["sum"], n);
        });
        seen.push(ctx.uuid());
        if (ctx.info.generation < 4) ctx.continueAsNew(sum + n);
        return sum + n;
      });
      const workflows = createWorkflows(a, [loop], { shards: 1, parkAfter: 0 });
      {
        await using _ = workflows.work();
        const run = await workflows.start(loop, 0, { id: "l" });
        for (let n = 1; n <= 5; n++) await run.signal(Go, n);
        assert.equal(await run.result(), 15);
        assert.deepEqual([tokens.size, new Set(seen).size], [5, 5]);
        assert.equal((await run.history()).length, 2);
        assert.equal((await a.kv.get(["sum"]))?.value, 15);
      }
      await using _ = workflows.work();
      await until(
        async () =>
          (await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "history", "l"] }))).length === 2,
      );
    }),
  );
});
