import { escapeHtml } from "../../core/index.ts";
import type { Operation } from "../history.ts";
import type { Anomaly, AnomalyStep } from "../transactions/transactions.ts";

const radius = 210;
const centre = { x: 420, y: 260 };

/** The transactions of a circle of dependencies in a circle, each with what it did. */
export function drawCycle({ steps }: Anomaly): string {
  const transactions = [...new Set(steps.map(({ from }) => from))];
  const at = (operation: Operation) => {
    const angle = (2 * Math.PI * transactions.indexOf(operation)) / transactions.length - Math.PI / 2;
    return { x: centre.x + radius * Math.cos(angle), y: centre.y + radius * Math.sin(angle) };
  };
  const edges = steps.map((step) => drawEdge(step, at(step.from), at(step.to)));
  const nodes = transactions.map((transaction) => drawTransaction(transaction, at(transaction)));
  const arrow =
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="edge" d="M0 0L8 4L0 8"/></marker></defs>';
  return `<svg width="${2 * centre.x}" height="${2 * centre.y}" xmlns="http://www.w3.org/2000/svg">\n${[arrow, ...edges, ...nodes].join("\n")}\n</svg>`;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function drawEdge({ kind, key, value, text }: AnomalyStep, from: Point, to: Point): string {
  const label = [kind, key, value === undefined ? undefined : JSON.stringify(value)]
    .filter((part) => part !== undefined)
    .join(" ");
  // Bent outwards, so that the two edges of a pair stay apart.
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const bent = { x: middle.x + (to.y - from.y) * 0.18, y: middle.y - (to.x - from.x) * 0.18 };
  const path = `M${point(from)}Q${point(bent)} ${point(to)}`;
  return `<g><title>${escapeHtml(text)}</title><path class="edge" d="${path}" marker-end="url(#arrow)"/><text x="${bent.x.toFixed(0)}" y="${bent.y.toFixed(0)}">${escapeHtml(label)}</text></g>`;
}

function drawTransaction({ client, input, output }: Operation, { x, y }: Point): string {
  const steps = (Array.isArray(output) ? output : Array.isArray(input) ? input : []).map((step) =>
    JSON.stringify(step),
  );
  const lines = [client, ...steps.slice(0, 6), ...(steps.length > 6 ? [`… ${steps.length - 6} more`] : [])];
  const width = Math.min(260, 16 + 7.5 * Math.max(...lines.map((text) => text.length)));
  const height = 8 + 15 * lines.length;
  const texts = lines.map(
    (text, i) =>
      `<text x="${(x - width / 2 + 6).toFixed(0)}" y="${(y - height / 2 + 15 + 15 * i).toFixed(0)}">${escapeHtml(text.slice(0, 34))}</text>`,
  );
  return `<g><title>${escapeHtml(lines.join("\n"))}</title><rect class="node" x="${(x - width / 2).toFixed(0)}" y="${(y - height / 2).toFixed(0)}" width="${width.toFixed(0)}" height="${height}" rx="4"/>${texts.join("")}</g>`;
}

function point({ x, y }: Point): string {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}
