import assert from "node:assert/strict";
import { test } from "node:test";
import { type Checker, keyValue, linearizable, type Operation, transactions } from "../../src/check/index.ts";
import { skipWithoutPostgres, startPostgres } from "../servers/postgres.ts";
import { storeKinds } from "../stores.ts";
import { drawKv, drawTransaction, type HistoryOptions, recordHistory, type Trouble } from "./workload.ts";

const kinds: readonly (Pick<HistoryOptions, "draw"> & { readonly what: string; readonly checker: Checker })[] = [
  { what: "operations on keys are linearizable", draw: drawKv, checker: linearizable(keyValue) },
  {
    what: "transactions are strictly serialisable",
    draw: drawTransaction,
    checker: transactions({ kind: "list-append" }),
  },
];

function judge(checker: Checker, history: readonly Operation[]): void {
  const { verdict, summary, explanation } = checker.check(history);
  assert.equal(verdict, "ok", [summary, ...explanation].join("\n"));
  const outcomes = Map.groupBy(history, ({ outcome }) => outcome);
  const done = outcomes.get("ok")?.length ?? 0;
  assert.ok(done > history.length / 4, `only ${done} of ${history.length} operations were answered`);
}

for (const { what, draw, checker } of kinds) {
  for (const { name, skip, create } of storeKinds) {
    if (name === "memory") continue;
    test(`${name}: ${what}, while clients are killed`, { skip }, async (t) => {
      await using store = await create();
      const url = store.url as string;
      let kills = 0;
      const run = async ({ killClient }: Trouble): Promise<void> => {
        await killClient();
        kills++;
      };
      const history = await recordHistory({
        url,
        seed: 1,
        clients: 5,
        operations: 40,
        draw,
        every: { operations: 60, run },
      });
      judge(checker, history);
      const unknown = history.filter(({ outcome }) => outcome === "unknown").length;
      t.diagnostic(`${history.length} operations, ${kills} kills, ${unknown} of unknown outcome`);
    });
  }

  test(`postgres: ${what}, while the server is killed`, { skip: skipWithoutPostgres() }, async (t) => {
    await using server = await startPostgres();
    let kills = 0;
    const run = async (): Promise<void> => {
      await server.kill9();
      await server.restart();
      kills++;
    };
    const history = await recordHistory({
      url: server.url,
      seed: 2,
      clients: 5,
      operations: 40,
      draw,
      every: { operations: 60, run },
    });
    judge(checker, history);
    t.diagnostic(`${history.length} operations, ${kills} kills of the server`);
  });
}
