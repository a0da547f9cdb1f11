import { escapeHtml } from "../../core/index.ts";
import type { Operation } from "../history.ts";
import { tell } from "./tell.ts";

const laneHeight = 30;
const left = 110;
const step = 60;

/** One lane for each client; a step to the right for each event. What never returned goes on to the edge. */
export function drawOperations(operations: readonly Operation[], marked: ReadonlySet<number>): string {
  const clients = [...new Set(operations.map(({ client }) => client))].sort();
  const positions = operations.flatMap(({ called, returned }) =>
    returned === Infinity ? [called] : [called, returned],
  );
  const place = new Map([...new Set(positions)].sort((a, b) => a - b).map((position, i) => [position, i]));
  const width = left + (place.size + 1) * step;
  const height = clients.length * laneHeight + 10;
  const shapes = operations.map((operation) => {
    const { id, client, called, returned, outcome } = operation;
    const x = left + (place.get(called) ?? 0) * step;
    const end = returned === Infinity ? width : left + (place.get(returned) ?? 0) * step;
    const y = clients.indexOf(client) * laneHeight + 6;
    const text = escapeHtml(tell(operation));
    const box = `<rect class="${outcome}" opacity="0.35" x="${x}" y="${y}" width="${end - x}" height="20"/>`;
    const frame = marked.has(id) ? `<rect class="mark" x="${x}" y="${y}" width="${end - x}" height="20"/>` : "";
    return `<g><title>${text}</title>${box}${frame}<text x="${x + 3}" y="${y + 14}">${text}</text></g>`;
  });
  const names = clients.map((client, i) => `<text x="4" y="${i * laneHeight + 20}">${escapeHtml(client)}</text>`);
  return `<svg width="${width}" height="${height}" xmlns="http://www.w3.org/2000/svg">\n${[...names, ...shapes].join("\n")}\n</svg>`;
}
