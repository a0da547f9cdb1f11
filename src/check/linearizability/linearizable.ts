import { invalidArgument } from "../../core/index.ts";
import type { Checker, CheckResult } from "../checker.ts";
import type { History, Operation } from "../history.ts";
import type { Budget } from "./budget.ts";
import { type Explanation, explain } from "./explain.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";
import { type Entry, entriesOf } from "./timeline.ts";
import { withoutUnseen } from "./unseen.ts";

export interface LinearizableOptions {
  /**
   * Bounds the work: operations that are tried in a configuration, all parts together; default 10 million, some ten seconds.
   * Beyond it the verdict is "unknown". The same history and the same bound give the same result.
   */
  readonly steps?: number;
}

/** What a linearizability checker found; the fields beyond `CheckResult` are for drawings, present if it is violated. */
export interface LinearizabilityResult extends CheckResult {
  /** The part that is not linearizable, if the model has parts. */
  readonly partition?: string;
  /** Of `operations`: a longest legal order. */
  readonly longest?: readonly Operation[];
  /** Those of `operations` that are not in it, and why each cannot come next. */
  readonly stuck?: readonly { readonly operation: Operation; readonly why: string }[];
}

export interface LinearizabilityChecker extends Checker {
  check(history: History): LinearizabilityResult;
}

interface Part {
  readonly name: string | undefined;
  readonly entries: readonly Entry[];
  search?: Search;
}

const defaultSteps = 10_000_000;
/** In units of a configuration, some 30 bytes. */
const memoryAtMost = 4_000_000;
const firstSlice = 2_000;

/**
 * Whether a history is linearizable: whether each operation can be given an instant between its call and its return such that the
 * object, seen at these instants, behaves like the model. Operations of unknown outcome may have an instant any time after their
 * call, or none; operations that failed have none.
 *
 * The parts of the object are searched side by side with doubling numbers of steps, so that one part that is
 * easily seen to be wrong decides, however hard the others are.
 * @throws InvalidArgumentError from `check`: an operation that the model does not know, or a malformed one
 */
export function linearizable(model: Model, options: LinearizableOptions = {}): LinearizabilityChecker {
  const { steps = defaultSteps } = options;
  if (!(Number.isSafeInteger(steps) && steps >= 1))
    throw invalidArgument("options.steps", steps, "an integer, 1 or more");
  const name = `linearizable ${model.name}`;
  return {
    name,
    check(history) {
      const parts = partsOf(model, history);
      const budget: Budget = { steps, memory: memoryAtMost };
      const decision = decide(model, parts, budget);
      const nothing = { explanation: [], operations: [] };
      if (decision === "ok") {
        const places = parts.length > 1 ? `, part by part (${parts.length} parts)` : "";
        const summary = `the ${history.length} operations have a legal order${places}`;
        return { check: name, verdict: "ok", summary, ...nothing };
      }
      if (decision === "steps" || decision === "memory") {
        const bound = decision === "steps" ? `${steps} steps` : "the memory that it may use";
        return { check: name, verdict: "unknown", summary: `not decided within ${bound}`, ...nothing };
      }
      return { check: name, verdict: "violated", ...named(decision.name, explain(model, decision)) };
    },
  };
}

function named(
  partition: string | undefined,
  explanation: Explanation,
): Omit<LinearizabilityResult, "check" | "verdict"> {
  return partition === undefined ? explanation : { ...explanation, partition };
}

function partsOf(model: Model, history: History): Part[] {
  const groups = Map.groupBy(entriesOf(model, history), ({ operation }) => model.partition?.(operation));
  return [...groups].map(([name, entries]) => ({ name, entries }));
}

/** A part that is violated, or "ok", or what was too little. */
function decide(model: Model, parts: readonly Part[], budget: Budget): Part | "ok" | "steps" | "memory" {
  let open = [...parts];
  let given: "ok" | "memory" = "ok";
  for (let slice = firstSlice; open.length > 0; slice *= 2) {
    const paused: Part[] = [];
    for (const part of open) {
      if (budget.steps <= 0) return "steps";
      part.search ??= new Search(model, withoutUnseen(model, part.entries), budget);
      const outcome = part.search.run(Math.min(slice, budget.steps));
      if (outcome === "violated") return part;
      if (outcome === "paused") paused.push(part);
      else delete part.search;
      if (outcome === "exhausted") given = "memory";
    }
    open = paused;
  }
  return given;
}
