import { defineWorkflow, FatalError } from "../index.ts";

export const workflowsOptions = { name: "bank", shards: 8, lease: "1s", parkAfter: "50ms" } as const;

export interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
  readonly fails: boolean;
}

const retry = { attempts: 1000, base: 5, cap: 50 };

/** Moves money between two accounts: a saga, for the accounts might be anywhere. */
export const transfer = defineWorkflow("transfer", async (ctx, { from, to, amount, fails }: Transfer) => {
  const saga = ctx.saga();
  await saga.step(
    "withdraw",
    ({ tx }) => {
      if (Math.random() < 0.05) throw new Error("flaky");
      tx.add(["account", from], -amount);
      tx.add(["ledger", ctx.info.id], 1);
    },
    {
      retry,
      undo: ({ tx }) => {
        if (Math.random() < 0.05) throw new Error("flaky");
        tx.add(["account", from], amount);
        tx.add(["ledger", ctx.info.id], -1);
      },
      undoRetry: retry,
    },
  );
  if (Math.abs(amount) % 3 === 0) await ctx.sleep(100);
  await saga.step(
    "deposit",
    ({ tx }) => {
      if (fails) throw new FatalError("the account is closed");
      if (Math.random() < 0.05) throw new Error("flaky");
      tx.add(["account", to], amount);
      tx.add(["ledger", ctx.info.id], 1);
    },
    { retry },
  );
});
