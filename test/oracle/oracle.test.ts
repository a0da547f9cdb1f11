import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareKeys } from "../../src/core/index.ts";
import { createEngine, type Driver } from "../../src/engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../src/engine/memory/index.ts";
import { storeKinds } from "../stores.ts";
import { play, type Tally } from "./player.ts";
import { keys, step } from "./steps.ts";

const steps = fc.array(step, { minLength: 1, maxLength: 100, size: "max" });
/** The same for all engines, so that they play the same steps. */
const seed = Math.floor(Math.random() * 2 ** 31);

for (const { name, skip, create } of storeKinds) {
  test(`${name} does exactly what the oracle does`, { skip }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    await using store = await create();
    const clients = [await store.open(), await store.open(), await store.open()];
    const sum: Tally = { applied: 0, refused: 0, failed: 0 };
    let runs = 0;
    const property = fc.asyncProperty(steps, async (played) => {
      runs++;
      const tally = await play(
        played,
        clients.map((client) => client.scope("run", runs)),
      );
      for (const kind of ["applied", "refused", "failed"] as const) sum[kind] += tally[kind];
    });
    await fc.assert(property, { numRuns: 40, seed });
    t.diagnostic(`commits: ${sum.applied} applied, ${sum.refused} refused, ${sum.failed} failed`);
    assert.ok(sum.applied > 200 && sum.refused > 100 && sum.failed > 10, JSON.stringify(sum));
  });
}

const bugs: readonly [string, (driver: Driver) => Driver][] = [
  [
    "lists that end too early",
    (driver) => ({ ...driver, list: async (...of) => (await driver.list(...of)).slice(0, 4) }),
  ],
  ["range checks forgotten", (driver) => withCommits(driver, "checks", ({ kind }) => kind === "key")],
  ["appends forgotten", (driver) => withCommits(driver, "mutations", ({ kind }) => kind !== "append")],
];

for (const [what, plant] of bugs) {
  test(`an engine with ${what} is found out, and the steps are shrunk to a few`, async () => {
    const property = fc.asyncProperty(steps, async (played) => {
      await using engine = createEngine(plant(createMemoryDriver(new MemoryStore())));
      await play(played, [engine]);
    });
    const { failed, counterexample } = await fc.check(property, { numRuns: 60, seed: 1 });
    assert.ok(failed);
    assert.ok((counterexample?.[0].length ?? 0) <= 8, `${counterexample?.[0].length} steps are left`);
  });
}

test("the keys are written down in the order of tuples", () => {
  assert.deepEqual(keys.toSorted(compareKeys), keys);
});

/** Leaves out of each commit the checks or mutations that are not to be kept. */
function withCommits(
  driver: Driver,
  part: "checks" | "mutations",
  keep: (item: { readonly kind: string }) => boolean,
): Driver {
  return {
    ...driver,
    commitMany: (commits) =>
      driver.commitMany(commits.map((commit) => ({ ...commit, [part]: commit[part].filter(keep) }))),
  };
}
