import type { CheckResult, Operation } from "../check/index.ts";
import type { StruckFault } from "./fault-plan.ts";
import type { FaultKind } from "./faults.ts";
import type { Reduction } from "./scenario.ts";
import type { TimelineEntry } from "./timeline.ts";
import type { Decision, Divergence } from "./trace.ts";

/** What went wrong in a run. */
export interface Failure {
  /**
   * `invariant`, `check`, `eventually`: something that must hold does not. `stuck`: operations or restarts did not come to an end although nothing was
   * wrong any more. `uncaught`: a node threw where nobody catches. `operation`: a client's assertion failed. `budget`: too many events. `escape`: code used
   * something that cannot be simulated.
   */
  readonly kind: "invariant" | "check" | "eventually" | "stuck" | "uncaught" | "operation" | "budget" | "escape";
  /** One sentence. */
  readonly message: string;
  /** Which invariant, checker, node or client. */
  readonly subject: string;
  /** Milliseconds since the beginning. */
  readonly at: number;
  readonly error?: unknown;
  /** The operations that it is about, if known. */
  readonly operations: readonly Operation[];
}

/** What one run of a scenario was like. */
export interface SimulationResult {
  readonly scenario: string;
  readonly seed: number;
  readonly reduction: Reduction | undefined;
  readonly ok: boolean;
  readonly failure: Failure | undefined;
  /** What could not be decided within the checkers' budgets. */
  readonly undecided: readonly CheckResult[];
  /** Of everything that was decided and done, in order: equal for equal runs. 16 hexadecimal digits. */
  readonly traceHash: string;
  /** Decisions that went into the hash. */
  readonly decisions: number;
  /** Kept with `record`. */
  readonly recorded: readonly Decision[];
  /** Where the run left the path of `expected`. */
  readonly divergence: Divergence | undefined;
  readonly events: number;
  /** Virtual milliseconds that the run took. */
  readonly virtualMs: number;
  /** Machines by role, clients, and operations of each client, as run. */
  readonly size: {
    readonly nodes: Readonly<Record<string, number>>;
    readonly clients: number;
    readonly operations: number;
  };
  readonly strengths: Readonly<Partial<Record<FaultKind, number>>>;
  readonly struck: readonly StruckFault[];
  /** How often code asked `runtime.maybe` and was told yes, by label. */
  readonly maybe: Readonly<Record<string, { readonly asked: number; readonly taken: number }>>;
  /** Errors that clients met, by what they say. */
  readonly errors: Readonly<Record<string, number>>;
  readonly history: readonly Operation[];
  /** Kept with `trace`. */
  readonly timeline: readonly TimelineEntry[];
}
