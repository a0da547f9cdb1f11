import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Reduction } from "../simulation/index.ts";
import { type Command, exitCodes, UsageError } from "./command.ts";
import { loadScenarios } from "./scenarios.ts";
import { createSeedRunner } from "./seed-runner.ts";
import { type Choice, exploreSeeds, runSeed } from "./seed-runs.ts";

const help = `Usage: ashlar simulate <file> [options]

Runs the scenarios that a TypeScript or JavaScript module exports, each with many seeds, over all
cores. The first seed that fails is shrunk to the least that still fails, printed with the command
that replays it, and written as a page with the timeline of every machine.

Options   --only name         one scenario: the name of its export, or its own
          --seeds n           how many (default 100)
          --from n            the first (default 0)
          --seed n            this one alone, with its timeline and what the programs print
          --reduction json    less than all that the seed does, as a failure prints it
          --trace             print the whole timeline
          --report folder     for pages and recordings (default .ashlar/simulations)
          --regression file   write a test that replays the failure
          --record file       with --seed: keep all decisions in the file
          --replay file       repeat a recorded run, and name the first decision that differs
          --no-shrink         leave a failing seed as it is
          --workers n         processes at a time (default: one a core)
          --json              one JSON object a scenario

Exits with 1 if a seed fails, or a replay differs.`;

export const simulateCommand: Command = {
  help,
  async run(args, context) {
    const choice = toChoice(args);
    const scenarios = await loadScenarios(choice.file, choice.only);
    let good = true;
    for (const scenario of scenarios) {
      await using runner = createSeedRunner(scenario, {
        workers: choice.workers,
        // Of one run one may want to read what it prints; of many nobody does.
        prints: choice.seed !== undefined,
        signal: context.signal,
      });
      const holds =
        choice.seed === undefined
          ? await exploreSeeds(scenario, runner, choice, context)
          : await runSeed(scenario, runner, choice, context);
      good &&= holds;
      context.signal.throwIfAborted();
    }
    return good ? exitCodes.good : exitCodes.found;
  },
};

function toChoice(args: readonly string[]): Choice {
  const { values, positionals } = parsed(args);
  const [file, ...rest] = positionals;
  if (file === undefined) throw new UsageError("the file with the scenarios is missing");
  if (rest.length > 0) throw new UsageError(`${JSON.stringify(rest[0])} is one argument too many`);
  const recorded = values.replay === undefined ? undefined : readRecording(values.replay);
  const seed = count("seed", values.seed, 0) ?? recorded?.seed;
  if (values.record !== undefined && seed === undefined) throw new UsageError("--record goes with --seed");
  const only = values.only ?? recorded?.exportName;
  const reduction = values.reduction === undefined ? recorded?.reduction : toReduction(values.reduction);
  return {
    file,
    only,
    seeds: count("seeds", values.seeds, 1) ?? 100,
    from: count("from", values.from, 0) ?? 0,
    seed,
    reduction,
    trace: values.trace ?? false,
    folder: values.report ?? ".ashlar/simulations",
    regression: values.regression,
    record: values.record,
    recorded,
    shrink: !values["no-shrink"],
    workers: count("workers", values.workers, 1) ?? availableParallelism(),
    json: values.json ?? false,
  };
}

function parsed(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = {
    ...{
      only: text,
      seeds: text,
      from: text,
      seed: text,
      reduction: text,
      report: text,
      regression: text,
      record: text,
    },
    ...{ replay: text, workers: text, trace: flag, "no-shrink": flag, json: flag },
  };
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function count(option: string, given: string | undefined, least: number): number | undefined {
  if (given === undefined) return undefined;
  const value = Number(given);
  if (/^\d+$/.test(given) && Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`--${option}: given ${JSON.stringify(given)}; allowed: a whole number of at least ${least}`);
}

/** The JSON itself, or the name of a file that has it. */
function toReduction(given: string): Reduction {
  const text = given.trimStart().startsWith("{") ? given : read("reduction", given);
  return parseJson("reduction", text) as Reduction;
}

function readRecording(file: string): NonNullable<Choice["recorded"]> {
  const recording = parseJson("replay", read("replay", file)) as NonNullable<Choice["recorded"]>;
  if (!Array.isArray(recording.decisions)) throw new UsageError(`--replay: ${file} is no recorded run`);
  return recording;
}

function read(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`--${option}: ${(error as Error).message}`);
  }
}

function parseJson(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--${option}: ${(error as Error).message}`);
  }
}
