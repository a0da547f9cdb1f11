import assert from "node:assert/strict";
import { test } from "node:test";
import { type Checker, fencedMutex, linearizable, type Operation, transactions } from "../../src/check/index.ts";
import type { Engine } from "../../src/engine/index.ts";
import { storeKinds } from "../stores.ts";
import { type RunResult, runHolders } from "./run.ts";

function judge(checker: Checker, history: readonly Operation[]): void {
  const { verdict, summary, explanation } = checker.check(history);
  assert.equal(verdict, "ok", [summary, ...explanation].join("\n"));
}

/** What stands in the lists says the same as the answers, and no effect comes after one under a later hold. */
async function effectsAscend(engine: Engine, { written, notWritten }: RunResult): Promise<void> {
  const all = new Set<string>();
  for (const name of ["x", "y"]) {
    const effects = (await engine.kv.get<string[]>([name]))?.value ?? [];
    const tokens = effects.map((effect) => Number.parseInt(effect, 10));
    assert.deepEqual(
      tokens,
      tokens.toSorted((a, b) => a - b),
      `${name}: ${effects.join(", ")}`,
    );
    for (const effect of effects) all.add(effect);
  }
  assert.deepEqual(
    written.filter((effect) => !all.has(effect)),
    [],
  );
  assert.deepEqual(
    notWritten.filter((effect) => all.has(effect)),
    [],
  );
}

for (const { name, skip, create } of storeKinds) {
  if (name === "memory") continue;
  test(`${name}: processes exclude each other's effects, though they are killed and stopped`, {
    skip,
    timeout: 40_000,
  }, async (t) => {
    await using store = await create();
    const [processes, rounds] = [5, 8];
    const result = await runHolders({
      url: store.url as string,
      seed: 1,
      processes,
      rounds,
      ttl: 1500,
      troubleEvery: 6,
    });
    const { journal, kills, stops, takeovers, notWritten } = result;
    judge(linearizable(fencedMutex), journal.locks);
    judge(transactions({ kind: "list-append" }), journal.transactions);
    await effectsAscend(await store.open(), result);
    const outcomes = Map.groupBy(journal.locks, ({ name: what, outcome }) => `${what} ${outcome}`);
    const granted = outcomes.get("acquire ok")?.length ?? 0;
    assert.ok(granted >= processes * rounds, `only ${granted} grants`);
    assert.ok(kills >= 2 && takeovers.length >= 1, `${kills} kills, ${takeovers.length} takeovers`);
    assert.ok(notWritten.length >= takeovers.length);
    t.diagnostic(
      `${journal.locks.length} operations on locks, ${kills} kills, ${stops} stops, takeovers after ${takeovers.map(Math.round).join(", ")} ms, ${notWritten.length} writes refused`,
    );
  });
}
