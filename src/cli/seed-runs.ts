import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import {
  describeFailure,
  type Exploration,
  type Reduction,
  renderSimulation,
  type SimulationResult,
  shrink,
  Tally,
} from "../simulation/index.ts";
import type { Context } from "./command.ts";
import { type Recording, regressionTest, replayCommand } from "./replays.ts";
import type { ExportedScenario } from "./scenarios.ts";
import type { SeedRunner } from "./seed-runner.ts";

/** What the command line asks for. */
export interface Choice {
  readonly file: string;
  readonly only: string | undefined;
  readonly seeds: number;
  readonly from: number;
  readonly seed: number | undefined;
  readonly reduction: Reduction | undefined;
  readonly trace: boolean;
  /** For pages and recordings. */
  readonly folder: string;
  readonly regression: string | undefined;
  readonly record: string | undefined;
  readonly recorded: Recording | undefined;
  readonly shrink: boolean;
  readonly workers: number;
  readonly json: boolean;
}

/** Runs many seeds, several at a time, until one fails. Whether all hold. */
export async function exploreSeeds(
  scenario: ExportedScenario,
  runner: SeedRunner,
  choice: Choice,
  context: Context,
): Promise<boolean> {
  const { output } = context;
  const tally = new Tally(scenario.name);
  const began = performance.now();
  const failures: SimulationResult[] = [];
  let next = choice.from;
  const work = async (): Promise<void> => {
    // Seeds are begun in order, so once one has failed, all smaller ones are under way, and the smallest that fails is known in the end.
    while (next < choice.from + choice.seeds && failures.length === 0) {
      const result = await runner.run({ seed: next++ });
      tally.add(result);
      if (!result.ok) failures.push(result);
      output.progress(progressOf(scenario.name, tally.exploration, choice.seeds, began));
    }
  };
  await Promise.all(Array.from({ length: Math.min(runner.workers, choice.seeds) }, work));
  output.progress("");
  const failed = failures.sort((a, b) => a.seed - b.seed)[0];
  const exploration = tally.exploration;
  if (!failed) {
    if (choice.json) await output.line(JSON.stringify(toJson(scenario, exploration, began)));
    else for (const line of summary(scenario, exploration, began)) await output.line(line);
    return true;
  }
  await reportFailure(await smallest(failed, runner, choice, context), {
    scenario,
    runner,
    choice,
    context,
    exploration,
    began,
  });
  return false;
}

/** Runs one seed and tells what happened. Whether it holds, and took the same path as what was recorded. */
export async function runSeed(
  scenario: ExportedScenario,
  runner: SeedRunner,
  choice: Choice,
  context: Context,
): Promise<boolean> {
  const { output } = context;
  const { seed = 0, reduction, record, recorded } = choice;
  const keeps = record !== undefined || recorded !== undefined;
  const began = performance.now();
  const result = await runner.run({ seed, reduction, trace: true, record: keeps, expected: recorded?.decisions });
  if (record !== undefined) write(record, JSON.stringify(toRecording(scenario, result)));
  const tally = new Tally(scenario.name);
  tally.add(result);
  if (!choice.json) {
    for (const { at, machine, kind, text } of choice.trace ? result.timeline : result.timeline.slice(-40))
      await output.line(`${at.toFixed(2).padStart(10)} ms  ${machine.padEnd(12)} ${kind.padEnd(8)} ${text}`);
  }
  const { divergence } = result;
  if (divergence && !choice.json) {
    const show = (decision: typeof divergence.found) =>
      decision ? `"${decision.label}" ${decision.value}` : "the end";
    await output.line(
      `differs from the recorded run at decision ${divergence.index}: expected ${show(divergence.expected)}, found ${show(divergence.found)}`,
    );
  }
  if (result.ok) {
    if (choice.json) await output.line(JSON.stringify({ ...toJson(scenario, tally.exploration, began), divergence }));
    else for (const line of summary(scenario, tally.exploration, began)) await output.line(line);
    return divergence === undefined;
  }
  await reportFailure(result, { scenario, runner, choice, context, exploration: tally.exploration, began });
  return false;
}

async function smallest(
  failed: SimulationResult,
  runner: SeedRunner,
  choice: Choice,
  { output, signal }: Context,
): Promise<SimulationResult> {
  if (!choice.shrink) return failed;
  let smaller = 0;
  const { result } = await shrink(failed, {
    run: (options) => runner.run(options),
    signal,
    onSmaller: ({ struck, size }) =>
      output.progress(
        `shrinking, ${++smaller}: ${struck.length} faults, ${size.operations} operations of ${size.clients} clients`,
      ),
  });
  output.progress("");
  return result;
}

interface Surroundings {
  readonly scenario: ExportedScenario;
  readonly runner: SeedRunner;
  readonly choice: Choice;
  readonly context: Context;
  readonly exploration: Exploration;
  readonly began: number;
}

/** Runs the failing seed once more to draw it, and tells all about it. */
async function reportFailure(
  failed: SimulationResult,
  { scenario, runner, choice, context, exploration, began }: Surroundings,
): Promise<void> {
  const { output } = context;
  const { seed, reduction } = failed;
  const traced = await runner.run({ seed, reduction, trace: true, record: true });
  const replay = replayCommand(scenario, seed, reduction);
  const name = `${scenario.exportName}-${seed}`;
  const page = join(choice.folder, `${name}.html`);
  const recording = join(choice.folder, `${name}.json`);
  write(page, renderSimulation(traced, replay));
  write(recording, JSON.stringify(toRecording(scenario, traced)));
  if (choice.regression !== undefined) {
    const from = relative(dirname(resolve(choice.regression)), resolve(scenario.file));
    write(choice.regression, regressionTest(traced, scenario, from));
  }
  if (choice.json) {
    await output.line(
      JSON.stringify({ ...toJson(scenario, exploration, began), failure: toFailure(traced), replay, page, recording }),
    );
    return;
  }
  for (const line of describeFailure(traced).split("\n").slice(0, -1)) await output.line(line);
  for (const { client, name: what, key, input, outcome } of failed.failure?.operations.slice(0, 20) ?? [])
    await output.line(
      `  ${[client, what, key, JSON.stringify(input), outcome].filter((part) => part !== undefined).join(" ")}`,
    );
  await output.line(`replay:     ${replay}`);
  await output.line(`timeline:   ${page}`);
  await output.line(`decisions:  ${recording}`);
  if (choice.regression !== undefined) await output.line(`test:       ${choice.regression}`);
}

function toRecording(
  { exportName }: ExportedScenario,
  { seed, reduction, traceHash, recorded }: SimulationResult,
): Recording {
  return { exportName, seed, reduction, traceHash, decisions: recorded };
}

function write(file: string, text: string): void {
  mkdirSync(dirname(resolve(file)), { recursive: true });
  writeFileSync(file, text);
}

function progressOf(name: string, { seeds, events }: Exploration, all: number, began: number): string {
  const seconds = (performance.now() - began) / 1000;
  return `${name}: ${seeds} of ${all} seeds, ${(seeds / seconds).toFixed(1)} seeds/s, ${Math.round(events / seconds)} events/s`.slice(
    0,
    79,
  );
}

function summary(
  { name }: ExportedScenario,
  { seeds, events, virtualMs, struck, maybe, errors, undecided }: Exploration,
  began: number,
): string[] {
  const seconds = (performance.now() - began) / 1000;
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([what, times]) => `${what} ${times}`)
      .join(", ") || "none";
  const paths = Object.entries(maybe).map(
    ([label, { asked, taken }]) => `  ${taken === 0 ? "never taken" : taken} of ${asked}: ${label}`,
  );
  return [
    `${name}: ${seeds} seeds, none fails`,
    `  ${events} events in ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} a second; ${(virtualMs / 1000).toFixed(0)} s of virtual time, ${Math.round(virtualMs / 1000 / seconds)} times as fast as real time`,
    `  faults: ${list(struck)}`,
    `  errors that clients met: ${list(errors)}`,
    ...(undecided > 0 ? [`  undecided checks: ${undecided}`] : []),
    ...(paths.length > 0 ? ["rare paths taken", ...paths] : []),
  ];
}

function toJson(
  { name, exportName }: ExportedScenario,
  { failures: _, ...exploration }: Exploration,
  began: number,
): object {
  return { export: exportName, ...exploration, scenario: name, seconds: (performance.now() - began) / 1000 };
}

function toFailure({ failure, seed, reduction, size, struck, traceHash }: SimulationResult): object {
  const { error: _, ...about } = failure ?? {};
  return { ...about, seed, reduction, size, struck, traceHash };
}
