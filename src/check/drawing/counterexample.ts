import { escapeHtml, htmlPage } from "../../core/index.ts";
import type { CheckResult } from "../checker.ts";
import type { History, Operation } from "../history.ts";
import type { LinearizabilityResult } from "../linearizability/linearizable.ts";
import type { Anomaly, TransactionResult } from "../transactions/transactions.ts";
import { drawCycle } from "./cycle.ts";
import { drawOperations } from "./operations.ts";
import { tell } from "./tell.ts";

/**
 * A page about what a checker found, complete in itself: the verdict, its story, and a drawing: for linearizability and the like the operations over the order of
 * events, for transactions the circle of dependencies.
 */
export function renderCheck(result: CheckResult, history: History): string {
  const { check, verdict, summary, explanation, operations } = result;
  const parts = [`<pre>${escapeHtml([`${verdict}: ${summary}`, ...explanation].join("\n"))}</pre>`];
  for (const anomaly of anomaliesOf(result)) {
    parts.push(`<h2>${escapeHtml(anomaly.name)}</h2>`, `<pre>${escapeHtml(anomaly.explanation.join("\n"))}</pre>`);
    if (anomaly.steps.length > 0) parts.push(`<div class="wide">${drawCycle(anomaly)}</div>`);
  }
  const shown = operations.length > 0 ? around(operations, history) : history.slice(0, mostOperations);
  const more = shown.length < history.length ? ` (${shown.length} of ${history.length})` : "";
  parts.push(
    `<h2>Operations${more}</h2>`,
    `<div class="wide">${drawOperations(shown, new Set(operations.map(({ id }) => id)))}</div>`,
  );
  const { longest, stuck } = result as LinearizabilityResult;
  if (longest && longest.length > 0)
    parts.push("<h2>A legal order, as far as there is one</h2>", list(longest.slice(-50).map(tell)));
  if (stuck && stuck.length > 0)
    parts.push("<h2>What cannot come next</h2>", list(stuck.map(({ operation, why }) => `${tell(operation)}: ${why}`)));
  return htmlPage(check, parts.join("\n"));
}

const mostOperations = 300;

function anomaliesOf(result: CheckResult): readonly Anomaly[] {
  return ((result as TransactionResult).anomalies ?? []).slice(0, 8);
}

/** The operations in question, and those of the same part that overlap them, as far as there is room. */
function around(operations: readonly Operation[], history: History): Operation[] {
  const first = Math.min(...operations.map(({ called }) => called));
  const last = Math.max(...operations.map(({ called, returned }) => (returned === Infinity ? called : returned)));
  const keys = new Set(operations.map(({ key }) => key));
  const wanted = new Set(operations.map(({ id }) => id));
  const others = history.filter(
    ({ id, key, called, returned }) => !wanted.has(id) && keys.has(key) && called <= last && returned >= first,
  );
  return [...operations, ...others.slice(0, mostOperations)].sort((a, b) => a.called - b.called);
}

function list(lines: readonly string[]): string {
  return `<ol>${lines.map((line) => `<li><code>${escapeHtml(line)}</code></li>`).join("\n")}</ol>`;
}
