import { invalidArgument, toMilliseconds } from "../core/index.ts";
import type { FaultKind, FaultMenu } from "./faults.ts";
import type { Reduction, Scenario, Workload } from "./scenario.ts";
import type { Decision } from "./trace.ts";

export interface SimulateOptions {
  /** What everything in the run is drawn from: a whole number from 0. */
  readonly seed: number;
  /** Less than all that the seed would do. */
  readonly reduction?: Reduction | undefined;
  /** Keep the decisions, to compare another run with. Costs memory. Default false. */
  readonly record?: boolean;
  /** Decisions of an earlier run, to find out where this one differs. */
  readonly expected?: readonly Decision[] | undefined;
  /** Keep a timeline of what happened on which machine. Default false. */
  readonly trace?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export type RunOptions = Scenario & SimulateOptions;

/** A scenario with all defaults filled in and a reduction applied. */
export interface SizedScenario extends Scenario {
  readonly name: string;
  readonly faults: FaultMenu;
  readonly strengths: Readonly<Partial<Record<FaultKind, number>>>;
  readonly latency: readonly [shortest: number, mean: number];
  readonly workload: Required<Pick<Workload, "clients" | "operations" | "think">> & Workload;
  readonly size: {
    readonly nodes: Readonly<Record<string, number>>;
    readonly clients: number;
    readonly operations: number;
  };
  readonly events: number;
  readonly faultMs: number;
  readonly settleMs: number;
  readonly healMs: number;
}

/** @throws InvalidArgumentError something of the scenario makes no sense */
export function sized(options: RunOptions): SizedScenario {
  const { seed, reduction = {}, workload, nodes = {}, budget = {} } = options;
  if (!Number.isSafeInteger(seed) || seed < 0) throw invalidArgument("seed", seed, "a whole number from 0");
  if (options.mode !== undefined && options.mode !== "injected" && options.mode !== "patched")
    throw invalidArgument("mode", options.mode, '"injected" or "patched"');
  if (typeof workload?.operation !== "function")
    throw invalidArgument("workload.operation", workload?.operation, "a function of the client");
  const clients = count("workload.clients", reduction.clients ?? workload.clients ?? 3);
  const operations = count("workload.operations", reduction.operations ?? workload.operations ?? 20);
  const think = workload.think ?? 50;
  if (!(think >= 0)) throw invalidArgument("workload.think", think, "a number of milliseconds, 0 or more");
  const counts = Object.fromEntries(
    Object.entries(nodes).map(([role, spec]) => {
      if (typeof spec?.start !== "function")
        throw invalidArgument(`nodes.${role}.start`, spec?.start, "a function of the node");
      return [role, count(`nodes.${role}.count`, reduction.nodes?.[role] ?? spec.count ?? 1)];
    }),
  );
  const events = budget.events ?? 2_000_000;
  if (!(events >= 1)) throw invalidArgument("budget.events", events, "a number of at least 1");
  return {
    ...options,
    name: options.name ?? "scenario",
    faults: options.faults ?? "all",
    strengths: options.strengths ?? {},
    latency: options.network?.latency ?? [0.2, 1.5],
    workload: withDefaults(workload, { clients, operations, think }),
    size: { nodes: counts, clients, operations },
    events,
    faultMs: toMilliseconds(budget.faults ?? "30s", "budget.faults", { min: 1 }),
    settleMs: toMilliseconds(budget.settle ?? "2s", "budget.settle"),
    healMs: toMilliseconds(budget.heal ?? "60s", "budget.heal", { min: 1 }),
  };
}

function withDefaults(
  workload: Workload,
  numbers: { readonly clients: number; readonly operations: number; readonly think: number },
): SizedScenario["workload"] {
  const setup = workload.setup?.bind(workload);
  return { ...numbers, operation: workload.operation.bind(workload), ...(setup && { setup }) };
}

function count(name: string, given: number): number {
  if (!Number.isSafeInteger(given) || given < 0) throw invalidArgument(name, given, "a whole number from 0");
  return given;
}
