import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import { createWorkflows, defineSignal, defineWorkflow, FatalError } from "./index.ts";
import { quick } from "./testing/quick.ts";

const Go = defineSignal<number>("go");

onAllStores("workflows", (kind) => {
  test(
    "a workflow does its steps in order, and returns",
    on(kind, async (a) => {
      const add = defineWorkflow("add", async (ctx, input: { x: number; y: number }) => {
        const sum = await ctx.step("sum", () => input.x + input.y);
        return await ctx.step("double", () => ({ doubled: sum * 2 }));
      });
      const workflows = createWorkflows(a, [add], { shards: 2 });
      await using _ = workflows.work();
      const run = await workflows.start(add, { x: 1, y: 2 });
      assert.deepEqual(await run.result(), { doubled: 6 });
      const info = await run.info();
      assert.equal(info?.status, "completed");
      assert.deepEqual(
        (await run.history()).map(({ seq, kind: what, name, value }) => [seq, what, name, value]),
        [
          [0, "step", "sum", 3],
          [1, "step", "double", { doubled: 6 }],
        ],
      );
      await until(
        async () => (await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "active"] }))).length === 0,
      );
    }),
  );

  test(
    "what a step writes through tx takes effect once, also if its body meets a conflict or fails at first",
    on(kind, async (a) => {
      let failures = 0;
      const count = defineWorkflow("count", async (ctx, key: string) => {
        for (let i = 0; i < 3; i++)
          await ctx.step(
            `count ${i}`,
            async ({ tx }) => {
              const sum = (await tx.get<number>(["sum", key])) ?? 0;
              tx.set(["sum", key], sum + 1);
              if (failures++ === 1) throw new Error("once");
            },
            quick,
          );
      });
      const workflows = createWorkflows(a, [count], { shards: 4 });
      await using _ = workflows.work();
      const runs = await Promise.all(Array.from({ length: 10 }, () => workflows.start(count, "shared")));
      await Promise.all(runs.map((run) => run.result()));
      assert.equal((await a.kv.get(["sum", "shared"]))?.value, 30);
    }),
  );

  test(
    "a step is attempted as often as its policy says, with one token; FatalError ends it at once",
    on(kind, async (a) => {
      const tokens: string[] = [];
      let fatal = 0;
      const flow = defineWorkflow("flow", async (ctx) => {
        const message = await ctx
          .step(
            "never",
            ({ token }) => {
              tokens.push(token);
              throw new Error("no");
            },
            quick,
          )
          .catch((error: Error) => error.message);
        await ctx
          .step("fatal", () => {
            fatal++;
            throw new FatalError("stop");
          })
          .catch(() => {});
        return message;
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      assert.match(await (await workflows.start(flow, undefined, { id: "r" })).result(), /step "never" failed: no/);
      assert.deepEqual(tokens, ["r/0/never", "r/0/never", "r/0/never"]);
      assert.equal(fatal, 1);
    }),
  );

  test(
    "messages wait for whoever asks for them, in the order of their sending",
    on(kind, async (a, b) => {
      const listen = defineWorkflow("listen", async (ctx) => {
        const heard: number[] = [];
        for (let i = 0; i < 5; i++) heard.push(await ctx.waitFor(Go));
        return heard;
      });
      const here = createWorkflows(a, [listen], { shards: 2, parkAfter: 0 });
      const there = createWorkflows(b, [listen], { shards: 2, parkAfter: 0 });
      const run = await there.start(listen, undefined, { id: "l" });
      await run.signal(Go, 0);
      await run.signal(Go, 1);
      await using _ = here.work();
      for (let i = 2; i < 5; i++) await run.signal(Go, i);
      assert.deepEqual(await run.result(), [0, 1, 2, 3, 4]);
      await assert.rejects(run.signal(Go, 6), code("INVALID_STATE"));
      await assert.rejects(there.run("nobody").signal(Go, 1), code("INVALID_STATE"));
    }),
  );

  test(
    "a run that waits leaves memory, and comes back when it is time, or when it is called",
    on(kind, async (a) => {
      const nap = defineWorkflow("nap", async (ctx) => {
        const begun = ctx.now();
        await ctx.sleep(60);
        const late = await ctx.waitFor(Go, { timeout: 40 });
        return { slept: ctx.now() - begun, late };
      });
      const wait = defineWorkflow("wait", async (ctx) => [
        await ctx.waitFor(Go, { timeout: "30d" }),
        await ctx.waitFor(Go),
      ]);
      const workflows = createWorkflows(a, [nap, wait], { shards: 2, parkAfter: 5 });
      await using worker = workflows.work();
      const napping = await workflows.start(nap, undefined);
      const waiting = await workflows.start(wait, undefined);
      await until(() => worker.live === 0);
      const { slept, late } = await napping.result();
      assert.equal(late, undefined);
      assert.ok(slept >= 100, `${slept}`);
      await waiting.signal(Go, 1);
      await until(() => worker.live === 0);
      await waiting.signal(Go, 2);
      assert.deepEqual(await waiting.result(), [1, 2]);
      const timers = await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "timer"] }));
      assert.deepEqual(timers, []);
    }),
  );

  test(
    "branches that ran side by side are told of their steps in the same order by the next owner",
    on(kind, async (a, b) => {
      const seen: string[][] = [];
      const branches = defineWorkflow("branches", async (ctx) => {
        const order: string[] = [];
        seen.push(order);
        const branch = async (name: string) => {
          for (let i = 0; i < 3; i++) {
            await ctx.step(`${name}${i}`, () => new Promise((resolve) => setTimeout(resolve, Math.random() * 5)));
            order.push(`${name}${i}`);
          }
          return name;
        };
        const first = await Promise.race([branch("a"), branch("b"), branch("c")]);
        await ctx.waitFor(Go);
        return { first, order: [...order], random: ctx.random(), id: ctx.uuid() };
      });
      const options = { shards: 1, parkAfter: "1h", lease: "1s" } as const;
      const here = createWorkflows(a, [branches], options);
      const first = here.work();
      const run = await here.start(branches, undefined, { id: "x" });
      await until(async () => (await run.history()).length === 9);
      await first.close();
      const there = createWorkflows(b, [branches], options);
      await using _ = there.work();
      await run.signal(Go, 1);
      const result = await run.result();
      assert.equal(seen.length, 2);
      assert.deepEqual(seen[1], seen[0]);
      assert.equal(result.order.length, 9);
      assert.match(result.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );

  test(
    "a cancelled run ends its waits, may clean up, and is cancelled; a terminated one ends at once",
    on(kind, async (a) => {
      const cleaned: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        try {
          await ctx.waitFor(Go);
        } finally {
          await assert.rejects(ctx.sleep(1), code("CANCELLED"));
          await ctx.shielded(async () => {
            await ctx.step("clean", () => void cleaned.push(ctx.info.id));
          });
        }
      });
      const workflows = createWorkflows(a, [flow], { shards: 2, parkAfter: 0 });
      await using _ = workflows.work();
      const run = await workflows.start(flow, undefined, { id: "c" });
      await run.cancel("enough");
      await assert.rejects(run.result(), code("WORKFLOW_FAILED"));
      const info = await run.info();
      assert.deepEqual(
        [info?.status, info?.error?.message, cleaned],
        ["cancelled", "the run was cancelled: enough", ["c"]],
      );
      const other = await workflows.start(flow, undefined, { id: "t" });
      assert.equal(await other.terminate("away"), true);
      assert.equal(await other.terminate(), false);
      await assert.rejects(other.result(), code("WORKFLOW_FAILED"));
      assert.equal((await other.info())?.status, "terminated");
      assert.deepEqual(cleaned, ["c"]);
      await run.cancel();
      const marks = () => Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "ended"] }));
      await until(async () => (await marks()).length === 2);
    }),
  );

  test(
    "a saga takes back what had completed, the latest first, and nothing after the pivot",
    on(kind, async (a) => {
      const done: string[] = [];
      const book = defineWorkflow("book", async (ctx, pivot: boolean) => {
        const saga = ctx.saga();
        for (const name of ["hotel", "flight"])
          await saga.step(name, () => void done.push(name), {
            undo: ({ token }) => void done.push(`undo ${name} ${token.split("/")[1]}`),
          });
        if (pivot) saga.pivot();
        await saga.step(
          "car",
          () => {
            throw new FatalError("none left");
          },
          { undo: () => void done.push("undo car") },
        );
      });
      const workflows = createWorkflows(a, [book], { shards: 1 });
      await using _ = workflows.work();
      await assert.rejects((await workflows.start(book, false)).result(), /none left/);
      assert.deepEqual(done.splice(0), ["hotel", "flight", "undo flight 3", "undo hotel 4"]);
      await assert.rejects((await workflows.start(book, true)).result(), /none left/);
      assert.deepEqual(done, ["hotel", "flight"]);
    }),
  );

  test(
    "a compensation that fails for good leaves the run stuck, and is tried again on request",
    on(kind, async (a) => {
      let works = false;
      const flow = defineWorkflow("flow", async (ctx) => {
        const saga = ctx.saga();
        await saga.step("do", () => 1, {
          undo: () => {
            if (!works) throw new FatalError("not now");
          },
        });
        throw new Error("and back");
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      const run = await workflows.start(flow, undefined);
      await until(async () => (await run.info())?.status === "stuck");
      assert.match((await run.info())?.error?.message ?? "", /"undo do" failed for good: not now/);
      works = true;
      assert.equal(await run.retry(), true);
      await assert.rejects(run.result(), /and back/);
      assert.equal(await run.retry(), false);
    }),
  );

  test(
    "a run begun twice under one id is one run; a start within a transaction takes place with it",
    on(kind, async (a) => {
      let times = 0;
      const flow = defineWorkflow("flow", async (ctx, n: number) => await ctx.step("s", () => [n, ++times][0]));
      const other = defineWorkflow("other", async () => {});
      const workflows = createWorkflows(a, [flow, other], { shards: 2 });
      await using _ = workflows.work();
      const [one, two] = await Promise.all([
        workflows.start(flow, 1, { id: "same" }),
        workflows.start(flow, 1, { id: "same" }),
      ]);
      assert.deepEqual([await one.result(), await two.result(), times], [1, 1, 1]);
      await assert.rejects(workflows.start(other, undefined, { id: "same" }), code("INVALID_STATE"));
      await assert.rejects(
        a.transact(async (tx) => {
          await workflows.start(flow, 2, { id: "never", tx });
          throw new Error("rolled back");
        }),
        /rolled back/,
      );
      assert.equal(await workflows.run("never").info(), undefined);
      const run = await a.transact((tx) => workflows.start(flow, 3, { id: "within", tx }));
      assert.equal(await run.result(), 3);
    }),
  );

  test(
    "runs that have ended are forgotten after a while",
    on(kind, async (a) => {
      const flow = defineWorkflow("flow", async (ctx) => await ctx.step("s", () => 1));
      const workflows = createWorkflows(a, [flow], { shards: 1, retention: 1 });
      {
        await using _ = workflows.work();
        await (await workflows.start(flow, undefined)).result();
      }
      await using _ = workflows.work();
      await until(async () => {
        const left = await Array.fromAsync(a.kv.list({ prefix: ["workflow"] }));
        return left.every(({ key }) => key[2] === "shards");
      });
    }),
  );

  test(
    "a mark that an earlier run of the same name has left does not make a later one forgotten",
    on(kind, async (a) => {
      const flow = defineWorkflow("flow", async (ctx) => void (await ctx.waitFor(Go)));
      const workflows = createWorkflows(a, [flow], { shards: 1, parkAfter: 0 });
      const run = await workflows.start(flow, undefined, { id: "r" });
      const mark = ["workflow", "default", "ended", 0, 1, "r"];
      await a.kv.set(mark, true);
      await using _ = workflows.work();
      await until(async () => (await a.kv.get(mark)) === undefined);
      assert.equal((await run.info())?.status, "open");
      await run.signal(Go, 1);
      await run.result();
      await a.kv.set(mark, true);
    }),
  );

  test(
    "runs that wait for room keep no worker from closing",
    on(kind, async (a) => {
      const begun: string[] = [];
      const flow = defineWorkflow("flow", async (ctx) => {
        begun.push(ctx.info.id);
        await ctx.waitFor(Go);
      });
      const workflows = createWorkflows(a, [flow], { shards: 2, parkAfter: "1h" });
      const worker = workflows.work({ runs: 1, drain: "10m" });
      const runs = await Promise.all([1, 2, 3].map(() => workflows.start(flow, undefined)));
      await until(() => worker.live === 3);
      await worker.close();
      assert.equal(begun.length, 1);
      await using _ = workflows.work();
      for (const run of runs) await run.signal(Go, 1);
      await Promise.all(runs.map((run) => run.result()));
    }),
  );

  test(
    "a worker with another number of shards than the group has says so",
    on(kind, async (a) => {
      const flow = defineWorkflow("flow", async () => {});
      const workflows = createWorkflows(a, [flow], { shards: 2 });
      const right = workflows.work();
      await (await workflows.start(flow, undefined)).result();
      const wrong = createWorkflows(a, [flow], { shards: 3 }).work();
      await assert.rejects(wrong.done, /shards/);
      await right.close();
      await right.done;
    }),
  );

  test(
    "bad input is refused by name",
    on(kind, async (a) => {
      const flow = defineWorkflow("flow", async () => {});
      const stranger = defineWorkflow("stranger", async () => {});
      const workflows = createWorkflows(a, [flow]);
      const bad = code("INVALID_ARGUMENT");
      assert.throws(() => defineWorkflow("", async () => {}), bad);
      assert.throws(() => defineSignal("$cancel"), bad);
      assert.throws(() => createWorkflows(a, [flow, flow]), bad);
      assert.throws(() => createWorkflows(a, [flow], { shards: 0 }), bad);
      assert.throws(() => createWorkflows(a, [flow], { parkafter: 1 } as object), bad);
      assert.throws(() => workflows.work({ concurrency: 0 }), bad);
      await assert.rejects(workflows.start(stranger, undefined), bad);
      await workflows.start(flow, undefined);
      await assert.rejects(createWorkflows(a, [flow], { shards: 3 }).start(flow, undefined), code("INVALID_STATE"));
      await assert.rejects(workflows.start(flow, undefined, { id: "" }), bad);
      await assert.rejects(workflows.start(flow, (() => {}) as never), bad);
    }),
  );
});
