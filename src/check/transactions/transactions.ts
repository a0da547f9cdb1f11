import { invalidArgument } from "../../core/index.ts";
import type { Checker, CheckResult } from "../checker.ts";
import type { Operation } from "../history.ts";
import { findCycles, type Step } from "./cycles.ts";
import { type EdgeKind, GraphBuilder } from "./dependency-graph.ts";
import { Findings, show } from "./findings.ts";
import { type AnomalyName, type IsolationLevel, isolationLevels, prohibitedBy, strongestAllowing } from "./levels.ts";
import { ListAppend } from "./list-append.ts";
import { type Key, type Value, type Workload, type WorkloadKind, workloadOf } from "./micro-operations.ts";
import { addPrecedence } from "./precedence.ts";
import { ReadWriteRegister } from "./rw-register.ts";

export interface TransactionsOptions {
  /**
   * What the micro-operations are. `list-append`: `["r", key, null | [values…]]` and `["append", key, value]`.
   * `rw-register`: `["r", key, null | value]` and `["w", key, value]`; weaker, see `transactions`.
   */
  readonly kind: WorkloadKind;
  /** What the system promises; default "strict-serializable". */
  readonly level?: IsolationLevel;
  /**
   * Bounds the search for small cycles: edges that are looked at; default 50 million, a few seconds. With less, the
   * cycles that are told may be longer. Verdict and levels do not depend on it.
   */
  readonly steps?: number;
}

/** Why one transaction must come before another. */
export interface AnomalyStep {
  readonly from: Operation;
  readonly to: Operation;
  /**
   * `ww`: overwrites; `wr`: reads from; `rw`: did not see what the other wrote; `process` and `realtime`: order in
   * time.
   */
  readonly kind: EdgeKind;
  readonly key?: Key;
  /** What was written: by `to` if `ww` or `rw`, by `from` if `wr`. */
  readonly value?: Value;
  readonly text: string;
}

export interface Anomaly {
  readonly name: AnomalyName;
  /** In the order of the cycle, if it is one. */
  readonly transactions: readonly Operation[];
  /** The cycle; empty if the anomaly is none. */
  readonly steps: readonly AnomalyStep[];
  readonly explanation: readonly string[];
}

export interface TransactionResult extends CheckResult {
  /** What was found, whether the level prohibits it or not; a few of each name. */
  readonly anomalies: readonly Anomaly[];
  /**
   * The strongest levels that prohibit nothing that was found. None of them is weaker than another: snapshot isolation
   * and repeatable read are not comparable. Empty: the history is not even read uncommitted.
   */
  readonly allowed: readonly IsolationLevel[];
}

export interface TransactionsChecker extends Checker {
  check(history: readonly Operation[]): TransactionResult;
}

const defaultSteps = 50_000_000;

/**
 * Whether a history of transactions keeps an isolation level, inferred from the history alone: which transaction must
 * come before which, and whether that goes round in a circle. After Kingsbury and Alvaro, "Elle: Inferring Isolation
 * Anomalies from Experimental Observations" (VLDB 2020), and Adya, Liskov and O'Neil, "Generalized Isolation Level
 * Definitions" (ICDE 2000). Time and memory are linear in the history.
 *
 * Operations are named "transact"; `input` is an array of micro-operations, `output` the same with the reads filled in,
 * as Maelstrom and Elle write them. Keys are strings or numbers; values are unique per key.
 *
 * What is found is wrong for sure. With `list-append` no violation of a serialisable level is missed if each key is
 * read once after the last append to it, and none of a snapshot level if all appends are seen in some read; with
 * `rw-register`, cycles that need the order of writes that no transaction read are missed. Transactions that failed
 * must not be seen; those of unknown outcome took place if something of them was seen.
 * @throws InvalidArgumentError an option out of range; from `check`: a malformed operation, a value written twice to a
 * key
 */
export function transactions(options: TransactionsOptions): TransactionsChecker {
  const { kind, level = "strict-serializable", steps = defaultSteps } = options;
  if (kind !== "list-append" && kind !== "rw-register")
    throw invalidArgument("options.kind", kind, '"list-append" or "rw-register"');
  if (!isolationLevels.includes(level)) throw invalidArgument("options.level", level, isolationLevels.join(", "));
  if (!(Number.isSafeInteger(steps) && steps >= 1))
    throw invalidArgument("options.steps", steps, "an integer, 1 or more");
  const name = `${level} ${kind}`;
  return {
    name,
    check(history) {
      const anomalies = findAnomalies(workloadOf(kind, history), kind, steps);
      const prohibited = prohibitedBy(level);
      const wrong = anomalies.filter((anomaly) => prohibited.has(anomaly.name));
      // The shortest cycle is the easiest to follow; what needs no cycle comes first.
      wrong.sort((a, b) => a.steps.length - b.steps.length);
      const [worst] = wrong;
      const allowed = strongestAllowing(new Set(anomalies.map((anomaly) => anomaly.name)));
      const at = allowed.length > 0 ? allowed.join(" and ") : "no isolation level at all";
      return {
        check: name,
        verdict: worst ? "violated" : "ok",
        summary: worst
          ? `${worst.name}, which ${level} prohibits; the history allows ${at}`
          : `nothing in the ${history.length} transactions contradicts ${level}`,
        explanation: worst ? worst.explanation : [],
        operations: worst ? [...worst.transactions].sort((a, b) => a.called - b.called) : [],
        anomalies,
        allowed,
      };
    },
  };
}

/** Those that need no graph first, then cycles, weak ones first. */
function findAnomalies(workload: Workload, kind: WorkloadKind, steps: number): Anomaly[] {
  const graph = new GraphBuilder(workload.transactions.length);
  const findings = new Findings();
  const inference =
    kind === "list-append"
      ? new ListAppend(workload, graph, findings)
      : new ReadWriteRegister(workload, graph, findings);
  inference.infer();
  const operations = workload.transactions.map(({ operation }) => operation);
  addPrecedence(graph, operations, inference.committed);
  const operationAt = (node: number): Operation => {
    const operation = operations[node];
    if (!operation) throw new RangeError(`transaction ${node} of ${operations.length}`);
    return operation;
  };
  const seen = findings.found.map(({ name, transactions, explanation }) => ({
    name,
    transactions: transactions.map(operationAt),
    steps: [],
    explanation,
  }));
  const cycles = findCycles(graph.build(), steps).map(({ name, steps }): Anomaly => {
    const told = steps.map((step) => tell(step, workload, operationAt));
    const ring = [...told.map(({ from }) => from.id), told[0]?.from.id].join(" before ");
    return {
      name,
      transactions: told.map(({ from }) => from),
      steps: told,
      explanation: [...told.map(({ text }) => text), `so transaction ${ring}: a contradiction`],
    };
  });
  return [...seen, ...cycles];
}

function tell(step: Step, { writes }: Workload, operationAt: (node: number) => Operation): AnomalyStep {
  const { kind, label } = step;
  const [from, to] = [operationAt(step.from), operationAt(step.to)];
  const ends = { from, to, kind };
  if (kind === "process")
    return { ...ends, text: `client ${from.client} ran transaction ${from.id} before transaction ${to.id}` };
  if (kind === "realtime")
    return { ...ends, text: `transaction ${from.id} had returned before transaction ${to.id} was called` };
  const write = writes[label];
  if (!write) return { ...ends, text: `transaction ${from.id} comes before transaction ${to.id}` };
  const { key, value } = write;
  const what = `${show(value)} in ${show(key)}`;
  const texts = {
    ww: `transaction ${to.id} wrote ${what} after what transaction ${from.id} had written there`,
    wr: `transaction ${to.id} saw ${what}, which transaction ${from.id} had written`,
    rw: `transaction ${from.id} did not see ${what}, which transaction ${to.id} wrote`,
  };
  return { ...ends, key, value, text: texts[kind] };
}
