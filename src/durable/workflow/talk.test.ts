import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import { createWorkflows, defineQuery, defineSignal, defineUpdate, defineWorkflow } from "./index.ts";

const Go = defineSignal<number>("go");
const Total = defineQuery<{ times: number }, number>("total");
const Add = defineUpdate<number, number>("add");

/** Sums up what it is given, until it is told to go. */
const account = defineWorkflow("account", async (ctx) => {
  let total = 0;
  ctx.handle(Total, ({ times }) => {
    if (times < 0) throw new RangeError("times what?");
    return total * times;
  });
  ctx.handle(
    Add,
    async (amount) => {
      const tax = await ctx.step("tax", () => 1);
      if (amount === 13) throw new Error("unlucky");
      total += amount - tax;
      return total;
    },
    {
      validate: (amount) => {
        if (amount <= 0) throw new RangeError("more than nothing");
      },
    },
  );
  await ctx.waitFor(Go);
  return total;
});

onAllStores("talking to workflows", (kind) => {
  for (const parkAfter of [0, "1h"] as const)
    test(
      `a run in ${parkAfter === 0 ? "the store" : "memory"} answers queries and carries out updates, and does so again when it is brought back`,
      on(kind, async (a, b) => {
        const options = { shards: 2, parkAfter, lease: "1s" } as const;
        const here = createWorkflows(a, [account], options);
        const there = createWorkflows(b, [account], options);
        const worker = here.work();
        await here.start(account, undefined, { id: "acc" });
        const run = there.run<number>("acc");
        assert.equal(await run.query(Total, { times: 2 }), 0);
        assert.equal(await run.update(Add, 11), 10);
        assert.equal(await run.update(Add, 6, { id: "six" }), 15);
        assert.equal(await run.update(Add, 6, { id: "six" }), 15);
        await assert.rejects(run.update(Add, 0), /more than nothing/);
        await assert.rejects(run.update(Add, 13), code("REQUEST_FAILED"));
        await assert.rejects(run.query(Total, { times: -1 }), /times what/);
        await assert.rejects(run.query(defineQuery("else"), undefined), /does not answer such queries/);
        await worker.close();
        await using _ = there.work();
        assert.equal(await run.query(Total, { times: 1 }), 15);
        assert.equal(await run.update(Add, 2), 16);
        await run.signal(Go, 1);
        assert.equal(await run.result(), 16);
        await assert.rejects(run.query(Total, { times: 1 }), code("INVALID_STATE"));
        await assert.rejects(run.update(Add, 1), code("INVALID_STATE"));
        const kinds = (await run.history()).map((event) => event.kind);
        assert.equal(kinds.filter((what) => what === "update").length, 4);
        assert.equal(kinds.filter((what) => what === "updated").length, 4);
      }),
    );

  test(
    "updates wait for code that handles them, and end with the run",
    on(kind, async (a) => {
      const late = defineWorkflow("late", async (ctx) => {
        await ctx.waitFor(Go);
        const added = Promise.withResolvers<number>();
        ctx.handle(Add, (amount) => {
          added.resolve(amount);
          return amount;
        });
        return await added.promise;
      });
      const workflows = createWorkflows(a, [late], { shards: 1, parkAfter: 0 });
      await using _ = workflows.work();
      const run = await workflows.start(late, undefined);
      const never = defineUpdate<number, number>("never");
      const asked = Promise.allSettled([run.update(Add, 7), run.update(never, 8)]);
      await until(
        async () => (await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "signal"] }))).length === 2,
      );
      await run.signal(Go, 1);
      assert.equal(await run.result(), 7);
      const [answered, unanswered] = await asked;
      assert.deepEqual(answered, { status: "fulfilled", value: 7 });
      assert.match(String((unanswered as PromiseRejectedResult).reason), /ended without an answer/);
    }),
  );

  test(
    "who asks may give up",
    on(kind, async (a) => {
      const workflows = createWorkflows(a, [account], { shards: 1 });
      const run = await workflows.start(account, undefined);
      await assert.rejects(run.query(Total, { times: 1 }, { timeout: 20 }), code("TIMEOUT"));
      const left = new AbortController();
      const asked = run.update(Add, 1, { signal: left.signal });
      left.abort(new Error("never mind"));
      await assert.rejects(asked, /never mind/);
      await assert.rejects(workflows.run("none").query(Total, { times: 1 }), code("INVALID_STATE"));
      await assert.rejects(run.query(Total, { times: 1 }, { timeout: -1 }), code("INVALID_ARGUMENT"));
    }),
  );

  test(
    "a run is found by its attributes, as they are now",
    on(kind, async (a) => {
      const order = defineWorkflow("order", async (ctx) => {
        await ctx.setAttributes({ state: "paid", urgent: null });
        await ctx.waitFor(Go);
        await ctx.setAttributes({ state: "sent" });
        if (ctx.info.generation === 0) ctx.continueAsNew(undefined);
        await ctx.waitFor(Go);
      });
      const workflows = createWorkflows(a, [order], { shards: 2, retention: 1 });
      const attributes = { customer: "ann", state: "new", urgent: true } as const;
      const run = await workflows.start(order, undefined, { id: "o1", attributes, memo: { from: "test" } });
      await a.transact((tx) => workflows.start(order, undefined, { id: "o2", attributes: { customer: "bob" }, tx }));
      const find = async (wanted: Record<string, string | number | boolean>) =>
        (await Array.fromAsync(workflows.list({ attributes: wanted }))).map(({ id }) => id);
      assert.deepEqual(await find({ customer: "ann", urgent: true }), ["o1"]);
      const worker = workflows.work();
      await until(async () => (await find({ state: "paid" })).length === 2);
      assert.deepEqual(await find({ customer: "ann", urgent: true }), []);
      assert.deepEqual((await run.info())?.attributes, { customer: "ann", state: "paid" });
      assert.deepEqual((await run.info())?.memo, { from: "test" });
      await run.signal(Go, 1);
      await until(async () => (await run.info())?.generation === 1 && (await find({ state: "paid" })).includes("o1"));
      assert.deepEqual(await find({ customer: "ann" }), ["o1"]);
      assert.deepEqual(await find({ state: "sent" }), []);
      for (const id of ["o1", "o2"]) await workflows.run(id).terminate();
      const marks = () => Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "ended"] }));
      await until(async () => (await marks()).length === 2);
      await worker.close();
      await using _ = workflows.work();
      await until(
        async () => (await Array.fromAsync(a.kv.list({ prefix: ["workflow", "default", "by"] }))).length === 0,
      );
      await assert.rejects(workflows.start(order, undefined, { attributes: { x: {} as never } }), /attributes\.x/);
    }),
  );
});
