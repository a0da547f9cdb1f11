import { InvalidArgumentError, InvalidStateError } from "../core/index.ts";
import type { SimulationResult } from "./result.ts";
import { type PatchedGlobals, Run } from "./run.ts";
import type { RunOptions } from "./sized-scenario.ts";

let running = false;

/**
 * Runs a scenario once. Everything that happens is drawn from the seed: the same seed and the same program give the same run, decision
 * by decision (`traceHash`). Resolves whatever was found; `result.failure` says what went wrong.
 *
 * One at a time in a process: errors that nobody catches are told to the process, not to whoever caused them.
 * @throws InvalidArgumentError the scenario makes no sense
 * @throws InvalidStateError another simulation is running
 */
export async function simulate(options: RunOptions, patched?: PatchedGlobals): Promise<SimulationResult> {
  if (options.mode === "patched" && !patched)
    throw new InvalidArgumentError(
      'mode: "patched" needs a process of its own for each seed; run the scenario with `ashlar simulate`, or with `simulatePatched`',
    );
  const run = new Run(options, patched);
  if (running) throw new InvalidStateError("a simulation is running in this process: await it first");
  running = true;
  try {
    return await run.execute();
  } finally {
    running = false;
  }
}
