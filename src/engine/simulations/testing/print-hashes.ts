import { explore, type Scenario } from "../../../simulation/index.ts";

/** Runs every scenario of a module, given as its URL, over some seeds, and prints the hashes of what happened. */
const [, , file = "", seeds = "1"] = process.argv;
const exported: Record<string, unknown> = await import(file);
const hashes: Record<string, string[]> = {};
for (const [name, scenario] of Object.entries(exported)) {
  hashes[name] = [];
  await explore(scenario as Scenario, {
    seeds: Number(seeds),
    onResult: ({ traceHash }) => hashes[name]?.push(traceHash),
  });
}
process.stdout.write(`${JSON.stringify(hashes)}\n`);
