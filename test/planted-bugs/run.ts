import { parseArgs } from "node:util";
import { simulate } from "../../src/simulation/index.ts";
import { catalogue } from "./catalogue.ts";
import { detect, propertyOf } from "./detection.ts";
import type { PlantedBug } from "./planted-bug.ts";

/**
 * How many seeds the simulator needs to find each planted bug, and whether it takes a correct system for a wrong one:
 * `node test/planted-bugs/run.ts [--seeds 500] [--clean 500] [--starts 5] [--only name]`.
 * `--seeds`: at most, for each search; `--clean`: of each correct version; `--starts`: searches for each bug, from seeds far apart.
 * Exits with 1 if a bug was not found or a correct version failed, and with 2 for wrong arguments.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "500" },
    clean: { type: "string", default: "500" },
    starts: { type: "string", default: "5" },
    only: { type: "string" },
  },
});
const [seeds, clean, starts] = [values.seeds, values.clean, values.starts].map(Number) as [number, number, number];
const chosen = catalogue.filter(({ name }) => values.only === undefined || name === values.only);
if (![seeds, clean, starts].every((count) => Number.isSafeInteger(count) && count >= 0) || chosen.length === 0) {
  console.error(`--only takes one of ${catalogue.map(({ name }) => name).join(", ")}; the others take whole numbers`);
  process.exit(2);
}
let bad = 0;
if (seeds > 0 && starts > 0) await search();
if (clean > 0) await alarms();
process.exitCode = bad > 0 ? 1 : 0;

async function search(): Promise<void> {
  console.log(row("bug", "first at", "mean", "most", "ms/seed", "found by"));
  for (const bug of chosen) console.log(await searchFor(bug));
}

async function searchFor({ name, planted }: PlantedBug): Promise<string> {
  const needed: number[] = [];
  const properties = new Set<string>();
  let first: number | undefined;
  let ran = 0;
  const began = performance.now();
  for (let start = 0; start < starts; start++) {
    const found = await detect(planted, start * 1_000_000, seeds);
    ran += found?.seeds ?? seeds;
    if (!found) continue;
    needed.push(found.seeds);
    properties.add(propertyOf(found.failure));
    if (start === 0) first = found.seed;
  }
  if (needed.length < starts) bad++;
  const mean = needed.length > 0 ? (needed.reduce((sum, each) => sum + each, 0) / needed.length).toFixed(1) : "-";
  const most = needed.length < starts ? `missed ${starts - needed.length}×` : String(Math.max(...needed));
  const cost = ((performance.now() - began) / ran).toFixed(1);
  return row(name, first === undefined ? "-" : `#${first}`, mean, most, cost, [...properties].join("; "));
}

/** Several bugs have the same correct version: it is run once. */
async function alarms(): Promise<void> {
  const systems = new Map(chosen.map(({ name, correct }) => [correct, correct.name ?? name]));
  console.log(`\n${row("correct version", "seeds", "alarms", "undecided", "ms/seed", "seeds with an alarm")}`);
  for (const [correct, name] of systems) {
    const failed: string[] = [];
    let undecided = 0;
    const began = performance.now();
    for (let seed = 0; seed < clean; seed++) {
      const result = await simulate({ ...correct, seed });
      undecided += result.undecided.length > 0 ? 1 : 0;
      if (result.failure) failed.push(`#${seed} ${propertyOf(result.failure)}`);
    }
    bad += failed.length;
    const cost = ((performance.now() - began) / clean).toFixed(1);
    console.log(
      row(name, String(clean), String(failed.length), String(undecided), cost, failed.slice(0, 5).join(", ")),
    );
  }
  console.log(`\n${systems.size * clean} seeds of ${systems.size} correct systems`);
}

function row(name: string, ...cells: readonly string[]): string {
  const [a = "", b = "", c = "", d = "", last = ""] = cells;
  return `${name.padEnd(30)} ${a.padStart(9)} ${b.padStart(8)} ${c.padStart(10)} ${d.padStart(8)}  ${last}`;
}
