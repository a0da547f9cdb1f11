import { AshlarError, invalidArgument } from "../core/index.ts";
import type { SimulationResult } from "./result.ts";
import type { Scenario } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import type { SimulateOptions } from "./sized-scenario.ts";

export interface ExploreOptions {
  /** How many seeds. Default 100. */
  readonly seeds?: number;
  /** The first one. Default 0. */
  readonly from?: number;
  /** Go on after a failure. Default false. */
  readonly all?: boolean;
  /** Called after each run. */
  readonly onResult?: (result: SimulationResult) => void;
  readonly signal?: AbortSignal;
  /** How a seed is run. Default: in this process. */
  readonly run?: RunSeed;
}

export type RunSeed = (options: SimulateOptions) => Promise<SimulationResult>;

/** What many runs of a scenario were like together. */
export interface Exploration {
  readonly scenario: string;
  readonly seeds: number;
  readonly failures: readonly SimulationResult[];
  readonly undecided: number;
  readonly events: number;
  readonly virtualMs: number;
  /** Faults that struck, by kind. */
  readonly struck: Readonly<Record<string, number>>;
  /** Rare paths that were asked about and taken, by label. */
  readonly maybe: Readonly<Record<string, { readonly asked: number; readonly taken: number }>>;
  /** Errors that clients met. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Runs a scenario with one seed after another, in this process, until one fails or all have run. */
export async function explore(scenario: Scenario, options: ExploreOptions = {}): Promise<Exploration> {
  const { seeds = 100, from = 0, all = false, signal } = options;
  if (!Number.isSafeInteger(seeds) || seeds < 1) throw invalidArgument("seeds", seeds, "a whole number of at least 1");
  if (!Number.isSafeInteger(from) || from < 0) throw invalidArgument("from", from, "a whole number from 0");
  const run: RunSeed = options.run ?? ((how) => simulate({ ...scenario, ...how }));
  const tally = new Tally(scenario.name ?? "scenario");
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await run({ seed, signal });
    tally.add(result);
    options.onResult?.(result);
    if (!result.ok && !all) break;
  }
  return tally.exploration;
}

/** Adds up runs. */
export class Tally {
  readonly #name: string;
  readonly #failures: SimulationResult[] = [];
  readonly #struck: Record<string, number> = {};
  readonly #maybe: Record<string, { asked: number; taken: number }> = {};
  readonly #errors: Record<string, number> = {};
  #seeds = 0;
  #undecided = 0;
  #events = 0;
  #virtualMs = 0;

  constructor(name: string) {
    this.#name = name;
  }

  add(
    result: Pick<SimulationResult, "undecided" | "events" | "virtualMs" | "struck" | "maybe" | "errors" | "ok">,
  ): void {
    this.#seeds++;
    this.#undecided += result.undecided.length;
    this.#events += result.events;
    this.#virtualMs += result.virtualMs;
    for (const { kind } of result.struck) this.#struck[kind] = (this.#struck[kind] ?? 0) + 1;
    for (const [error, times] of Object.entries(result.errors))
      this.#errors[error] = (this.#errors[error] ?? 0) + times;
    for (const [label, { asked, taken }] of Object.entries(result.maybe)) {
      const sum = this.#maybe[label] ?? { asked: 0, taken: 0 };
      this.#maybe[label] = sum;
      sum.asked += asked;
      sum.taken += taken;
    }
    if (!result.ok) this.#failures.push(result as SimulationResult);
  }

  get exploration(): Exploration {
    return {
      scenario: this.#name,
      seeds: this.#seeds,
      failures: this.#failures,
      undecided: this.#undecided,
      events: this.#events,
      virtualMs: this.#virtualMs,
      struck: this.#struck,
      maybe: this.#maybe,
      errors: this.#errors,
    };
  }
}

/** A scenario failed. `details`: `{ scenario, seed, reduction, failure }`. */
export class SimulationFailedError extends AshlarError {
  readonly result: SimulationResult;

  constructor(message: string, result: SimulationResult) {
    const { scenario, seed, reduction, failure } = result;
    super(message, {
      code: "SIMULATION_FAILED",
      definite: true,
      retryable: false,
      details: { scenario, seed, reduction, failure },
      ...(failure?.error !== undefined && { cause: failure.error }),
    });
    this.result = result;
  }
}

/**
 * For tests: explores, and throws if a seed fails, with what went wrong, the faults that it takes after shrinking, and how to replay it.
 * @throws SimulationFailedError
 */
export async function assertHolds(scenario: Scenario, options: Omit<ExploreOptions, "all"> = {}): Promise<Exploration> {
  const exploration = await explore(scenario, options);
  const failed = exploration.failures[0];
  if (failed === undefined) return exploration;
  const run: RunSeed = options.run ?? ((how) => simulate({ ...scenario, ...how }));
  const shrunk = await shrink(failed, { run, ...(options.signal && { signal: options.signal }) });
  throw new SimulationFailedError(describeFailure(shrunk.result), shrunk.result);
}

/** What went wrong in a run, in lines for people. */
export function describeFailure(result: SimulationResult): string {
  const { scenario, seed, failure, struck, size, reduction } = result;
  const shownFaults = struck.slice(0, 20).map(({ id, at }) => `  ${at.toFixed(1)} ms  ${id}`);
  const more = struck.length > 20 ? [`  … and ${struck.length - 20} more`] : [];
  const nodes = Object.entries(size.nodes).map(([role, count]) => `${count} ${role}`);
  return [
    `${scenario}, seed ${seed}: ${failure?.message ?? "holds"}`,
    `at ${failure?.at.toFixed(1)} ms, with ${[...nodes, `${size.clients} clients`].join(", ")}, ${size.operations} operations each`,
    struck.length === 0 ? "without any fault" : "faults:",
    ...shownFaults,
    ...more,
    `replay: ${replayText(seed, reduction)}`,
  ].join("\n");
}

/** The options that repeat a run. */
function replayText(seed: number, reduction: SimulationResult["reduction"]): string {
  return reduction === undefined
    ? `simulate({ ...scenario, seed: ${seed} })`
    : `simulate({ ...scenario, seed: ${seed}, reduction: ${JSON.stringify(reduction)} })`;
}
