import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { assertHolds, type Exploration, type Scenario } from "../../simulation/index.ts";
import { blob } from "./blob.sim.ts";
import { blobGarbage } from "./blob-garbage.sim.ts";
import { bus } from "./bus.sim.ts";
import { groupCommit } from "./group-commit.sim.ts";
import { kv } from "./kv.sim.ts";
import { log } from "./log.sim.ts";
import { logTrim } from "./log-trim.sim.ts";
import { transact } from "./transact.sim.ts";
import { ttl } from "./ttl.sim.ts";
import { watch } from "./watch.sim.ts";

/** A few seeds each; `ashlar simulate src/engine/simulations/… --seeds 1000` runs as many as one likes. */
const seeds = 20;
const scenarios = {
  blob,
  "blob-garbage": blobGarbage,
  bus,
  "group-commit": groupCommit,
  kv,
  log,
  "log-trim": logTrim,
  transact,
  ttl,
  watch,
} satisfies Record<string, Scenario>;

for (const [file, scenario] of Object.entries(scenarios)) {
  test(`${scenario.name}: holds under all faults that apply`, async (t) => {
    const exploration = await assertHolds(scenario, { seeds });
    assert.equal(exploration.undecided, 0);
    t.diagnostic(coverage(exploration));
  });

  test(`${scenario.name}: fresh processes have the same runs`, async () => {
    const [first, second] = await Promise.all([hashesOf(file), hashesOf(file)]);
    assert.match(first, /[0-9a-f]{16}/);
    assert.equal(first, second);
  });
}

test("all rare paths of the engine's layers are taken", async () => {
  const taken = new Map<string, number>();
  for (const scenario of [transact, groupCommit, log, ttl]) {
    const { maybe } = await assertHolds(scenario, { seeds: 15, from: 1_000 });
    for (const [label, count] of Object.entries(maybe)) taken.set(label, (taken.get(label) ?? 0) + count.taken);
  }
  assert.deepEqual(
    [...taken].filter(([, count]) => count === 0),
    [],
  );
  assert.deepEqual([...taken.keys()].sort(), [
    "group commit: flush one commit alone",
    "group commit: wait another turn",
    "log: pack the tail early",
    "sweep: one entry",
    "transact: a first attempt in vain",
    "transact: doubt the answer",
    "watch: lose the place",
  ]);
});

async function hashesOf(file: string): Promise<string> {
  const script = new URL("./testing/print-hashes.ts", import.meta.url).pathname;
  const url = new URL(`./${file}.sim.ts`, import.meta.url).href;
  return (await promisify(execFile)(process.execPath, [script, url, "3"])).stdout;
}

function coverage({ struck, maybe }: Exploration): string {
  const faults = Object.entries(struck).map(([kind, count]) => `${kind} ${count}`);
  const paths = Object.entries(maybe).map(([label, { asked, taken }]) => `"${label}" ${taken} of ${asked}`);
  return `${faults.join(", ")}; ${paths.join(", ")}`;
}
