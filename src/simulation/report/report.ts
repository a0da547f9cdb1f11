import type { Operation } from "../../check/index.ts";
import { escapeHtml, htmlPage } from "../../core/index.ts";
import { describeFailure } from "../explore.ts";
import type { SimulationResult } from "../result.ts";
import type { TimelineEntry } from "../timeline.ts";
import { drawTimeline } from "./timeline-drawing.ts";

/** Lines of a table that are shown. */
const mostRows = 500;

/**
 * A page about one run, complete in itself: what failed and how to replay it, a timeline of every machine, the faults that struck, and what clients did.
 * Best of a run with `trace: true`, which has the timeline.
 * @param replay the command that repeats the run
 */
export function renderSimulation(result: SimulationResult, replay?: string): string {
  const { scenario, seed, ok, traceHash, events, virtualMs, struck, history, timeline, failure, errors } = result;
  const about = [
    `seed ${seed}, ${ok ? "holds" : "fails"}, ${events} events, ${(virtualMs / 1000).toFixed(1)} s of virtual time, trace ${traceHash}`,
    ...(replay === undefined ? [] : [`replay: ${replay}`]),
  ];
  const involved = new Set(failure?.operations.map(({ id }) => id));
  return htmlPage(
    `${scenario}: seed ${seed}`,
    [
      `<pre>${escapeHtml(failure ? describeFailure(result) : about.join("\n"))}</pre>`,
      failure ? `<pre>${escapeHtml(about.join("\n"))}</pre>` : "",
      "<h2>Machines</h2>",
      timeline.length > 0
        ? `<div class="wide">${drawTimeline(result)}</div>${legend}`
        : "<p>The run was not traced.</p>",
      section(
        "Faults",
        struck.length,
        rows(struck, ({ id, at }) => [`${at.toFixed(1)} ms`, id]),
      ),
      section(
        "Errors that clients met",
        Object.keys(errors).length,
        rows(Object.entries(errors), ([error, times]) => [`${times} ×`, error]),
      ),
      section(
        "Operations",
        history.length,
        rows(history, (operation) => tell(operation, involved.has(operation.id))),
      ),
      section("What happened", timeline.length, rows(timeline, describe)),
    ].join("\n"),
  );
}

const legend = `<p>Grey bars: a process lives. Red lines: faults. Bars below a machine's name: operations, green when answered, grey when they failed, orange when their outcome is unknown;
red frames: what the failure is about. Blue: messages. Hold the pointer over something to read about it.</p>`;

function section(title: string, count: number, table: string): string {
  if (count === 0) return "";
  const more = count > mostRows ? `<p>The first ${mostRows} of ${count}.</p>` : "";
  return `<h2>${title}</h2>\n<table>\n${table}\n</table>${more}`;
}

function rows<T>(items: readonly T[], cells: (item: T) => readonly string[]): string {
  return items
    .slice(0, mostRows)
    .map(
      (item) =>
        `<tr>${cells(item)
          .map((cell) => `<td>${escapeHtml(cell)}</td>`)
          .join("")}</tr>`,
    )
    .join("\n");
}

function tell({ id, client, name, key, input, output, outcome, time }: Operation, involved: boolean): string[] {
  const span = time === undefined ? "" : `${time[0].toFixed(1)}–${time[1]?.toFixed(1) ?? ""} ms`;
  const asked = [name, key, JSON.stringify(input)].filter((part) => part !== undefined).join(" ");
  const answer = outcome === "ok" ? JSON.stringify(output ?? null) : outcome;
  return [involved ? "▶" : "", String(id), span, client, asked, answer];
}

function describe({ at, machine, kind, text, to }: TimelineEntry): string[] {
  return [`${at.toFixed(2)} ms`, to === undefined ? machine : `${machine} → ${to}`, kind, text];
}
