import assert from "node:assert/strict";
import { test } from "node:test";
import { on, onAllStores } from "../../../test/on-stores.ts";
import { InvalidStateError } from "../../core/index.ts";
import { createWorkflows, defineWorkflow, type StepContext } from "./index.ts";
import { quick } from "./testing/quick.ts";

onAllStores("workflows", (kind) => {
  const refused: readonly (readonly [string, (context: StepContext, limit: number) => void, RegExp])[] = [
    ["a bound", ({ tx }) => void tx.add(["n"], 1, { ceiling: 0 }), /ceiling|bound|above|over/],
    [
      "a check of its own",
      ({ tx }) => tx.check({ key: ["n"], present: true }, { otherwise: () => new InvalidStateError("there is no n") }),
      /there is no n/,
    ],
    [
      "a limit of the engine",
      ({ tx }, limit) => {
        for (let i = 0; i <= limit; i++) tx.set(["n", i], i);
      },
      /limit/,
    ],
  ];
  for (const [what, write, message] of refused)
    test(
      `a step whose transaction is refused because of ${what} has failed: it costs an attempt, and the next waits`,
      on(kind, async (a) => {
        let bodies = 0;
        const flow = defineWorkflow("flow", async (ctx) => {
          await ctx.step(
            "write",
            (context) => {
              bodies++;
              context.tx.set(["mine"], bodies);
              write(context, a.limits.operations);
            },
            quick,
          );
        });
        const workflows = createWorkflows(a, [flow], { shards: 1 });
        await using _ = workflows.work();
        await assert.rejects((await workflows.start(flow, undefined)).result(), message);
        assert.equal(bodies, quick.retry.attempts);
        assert.equal(await a.kv.get(["mine"]), undefined);
      }),
    );

  test(
    "a step that meets conflicts all the time loses no attempt",
    on(kind, async (a) => {
      let bodies = 0;
      const flow = defineWorkflow("flow", async (ctx) => {
        await ctx.step(
          "write",
          async ({ tx }) => {
            const n = (await tx.get<number>(["n"])) ?? 0;
            if (bodies++ < 10) await a.kv.set(["n"], bodies);
            tx.set(["sum"], n);
          },
          { retry: { attempts: 1 } },
        );
      });
      const workflows = createWorkflows(a, [flow], { shards: 1 });
      await using _ = workflows.work();
      await (await workflows.start(flow, undefined)).result();
      assert.deepEqual([bodies, (await a.kv.get(["sum"]))?.value], [11, 10]);
    }),
  );
});
