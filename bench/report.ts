import type { Latency } from "./anchors.ts";
import type { Workload } from "./contestant.ts";
import { delayTarget, type EngineName, type Sizes, targets, titles } from "./plan.ts";
import type { LoopDelay, Result, Spread } from "./race.ts";

/** All that a run measured. */
export interface Report {
  readonly machine: readonly string[];
  readonly sizes: Sizes;
  readonly anchors: readonly Anchor[];
  readonly results: readonly Result[];
  readonly delays: readonly LoopDelay[];
  /** Contestants that were not there, and why. */
  readonly absent: readonly string[];
}

export interface Anchor {
  readonly what: string;
  readonly latency: Latency;
}

const meaning: Readonly<Record<Workload, string>> = {
  get: "get",
  set: "set",
  cas: "check-and-set of 3",
  transact: "transact, 3 keys",
  range: "range of 1000",
  append: "append 256 B",
  "read-log": "read log",
  "read-log-single": "read log, 1 per commit",
};

/** The report as Markdown whose tables are aligned, so that it reads as well on a terminal. */
export function render(report: Report): string {
  const { sizes, machine, anchors, absent, delays } = report;
  const parts = [
    machine.map((line) => `- ${line}`).join("\n"),
    `${sizes.keys} keys, values of 100 bytes, ${sizes.rounds} rounds of ${sizes.ms} ms each, contestants in turn. Rates are per second: commits, reads, ranges, or records read; median (least–most).${othersOf(report.results)}`,
    ...absent.map((line) => `Not measured: ${line}`),
    table(
      ["what the machine does at best", "p50 µs", "p99 µs"],
      anchors.map(({ what, latency }) => [what, micros(latency.p50), micros(latency.p99)]),
    ),
    ...(["sqlite", "postgres", "memory"] as const).flatMap((engine) => renderEngine(engine, report)),
    ...(delays.length > 0 ? ["## How late the event loop gets under writes", renderDelays(delays)] : []),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** How busy others kept the machine, over all rounds. */
function othersOf(results: readonly Result[]): string {
  const shares = results.map(({ others }) => others).filter((share) => share !== undefined);
  if (shares.length === 0) return "";
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  const sorted = shares.sort((a, b) => a - b);
  const at = (share: number) => percent(sorted[Math.floor((sorted.length - 1) * share)] as number);
  return ` Others used ${at(0.5)} of the processors meanwhile (a tenth of the results: more than ${at(0.9)}).`;
}

function renderEngine(engine: EngineName, { results }: Report): string[] {
  const rows = results.filter((result) => result.engine === engine);
  if (rows.length === 0) return [];
  const head = [
    "workload",
    "callers",
    "contestant",
    "rate",
    "least–most",
    "p50 µs",
    "p99 µs",
    "µs of processor",
    "commits per flush",
    "bytes per commit",
    "ashlar ÷ it",
    "target",
  ];
  const cells = rows.map((row) => [
    meaning[row.workload],
    String(row.concurrency),
    titles[row.contestant],
    count(row.rate.median),
    range(row.rate, count),
    row.p50 === undefined ? "" : micros(row.p50),
    row.p99 === undefined ? "" : micros(row.p99),
    row.processor === undefined ? "" : ratio(row.processor),
    row.perFlush === undefined ? "" : row.perFlush.toFixed(1),
    row.bytes === undefined ? "" : count(row.bytes),
    row.ratio === undefined ? "" : `${ratio(row.ratio.median)} (${range(row.ratio, ratio)})`,
    targetOf(row),
  ]);
  return [`## ${engine}`, table(head, cells)];
}

function renderDelays(delays: readonly LoopDelay[]): string {
  const head = ["engine", "callers", "contestant", "sets/s", "p50 ms", "p99 ms", "max ms", "target"];
  return table(
    head,
    delays.map(({ engine, contestant, concurrency, rate, delay }) => [
      engine,
      String(concurrency),
      titles[contestant],
      count(rate),
      delay.p50.toFixed(2),
      delay.p99.toFixed(2),
      delay.max.toFixed(1),
      contestant.startsWith("ashlar-") ? `p99 < ${delayTarget} ms ${mark(delay.p99 < delayTarget)}` : "",
    ]),
  );
}

function targetOf(row: Result): string {
  for (const target of targets) {
    if (target.engine !== row.engine || target.workload !== row.workload) continue;
    if ("rate" in target) {
      if (row.contestant.startsWith("ashlar-"))
        return `≥ ${count(target.rate)}/s ${mark(row.rate.median >= target.rate)}`;
    } else if (
      row.ratio &&
      target.peer === row.contestant &&
      (target.concurrency ?? row.concurrency) === row.concurrency
    ) {
      return `≥ ${target.ratio} ${mark(row.ratio.median >= target.ratio)}`;
    }
  }
  return "";
}

function mark(reached: boolean): string {
  return reached ? "✓" : "✗";
}

function range(spread: Spread, show: (value: number) => string): string {
  return `${show(spread.min)}–${show(spread.max)}`;
}

function ratio(value: number): string {
  return value < 10 ? value.toFixed(2) : value.toFixed(1);
}

function micros(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

function count(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(2)} k`;
  return String(Math.round(value));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] as string).length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`;
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rows.map(line)].join("\n");
}
