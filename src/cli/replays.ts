import type { Decision, Reduction, SimulationResult } from "../simulation/index.ts";
import type { ExportedScenario } from "./scenarios.ts";

/** A run whose decisions were kept. */
export interface Recording {
  readonly exportName: string;
  readonly seed: number;
  readonly reduction: Reduction | undefined;
  readonly traceHash: string;
  readonly decisions: readonly Decision[];
}

/** The command line that repeats a run. */
export function replayCommand(
  { file, exportName }: ExportedScenario,
  seed: number,
  reduction: Reduction | undefined,
): string {
  const words = ["npx", "ashlar", "simulate", file, "--only", exportName, "--seed", String(seed)];
  if (reduction !== undefined) words.push("--reduction", JSON.stringify(reduction));
  return words.map(quoted).join(" ");
}

/** As a POSIX shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The source of a test that repeats a run and asks that it holds.
 * @param module the scenario's file as seen from the test's
 */
export function regressionTest(
  { failure, seed, reduction, scenario }: SimulationResult,
  { exportName, scenario: about }: ExportedScenario,
  module: string,
): string {
  const what = failure?.message.split("\n")[0] ?? "holds";
  const specifier = JSON.stringify(module.startsWith(".") ? module : `./${module}`);
  const options = JSON.stringify({ seed, ...(reduction && { reduction }) }, undefined, 2);
  const patched = about.mode === "patched";
  const run = patched
    ? `simulatePatched(new URL(${specifier}, import.meta.url), ${JSON.stringify(exportName)}, ${options})`
    : `simulate({ ...${exportName}, ...${options} })`;
  return [
    'import assert from "node:assert/strict";',
    'import { test } from "node:test";',
    `import { describeFailure, ${patched ? "simulatePatched" : "simulate"} } from "ashlar/simulation";`,
    ...(patched ? [] : [`import { ${exportName} } from ${specifier};`]),
    "",
    `// ${what.replaceAll(/[\r\n\u2028\u2029]/g, " ")}`,
    `test(${JSON.stringify(`${scenario} holds with seed ${seed}`)}, async () => {`,
    `  const result = await ${run.split("\n").join("\n  ")};`,
    "  assert.ok(result.ok, describeFailure(result));",
    "});",
    "",
  ].join("\n");
}
