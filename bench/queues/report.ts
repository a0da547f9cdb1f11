import { median } from "../compare.ts";
import { type EngineName, entries, type Goal, goals, type Measure } from "./plan.ts";
import { type Outcome, quantile, type Result } from "./race.ts";

const titles: Readonly<Record<Measure, string>> = {
  add: "add one by one, 50 in flight",
  bulk: "add in bulk, 1,000 at a time",
  drain: "work off a backlog, 50 handlers",
  idle: "idle: `add` → handler, one process",
  apart: "idle: `add` → handler, two processes",
};

/** One table of rates and one of latencies, as Markdown. */
export function tables(engine: EngineName, results: readonly Result[]): string {
  const rates = (["add", "bulk", "drain"] as const).flatMap((measure) => rowsOf(engine, measure, results));
  const latencies = (["idle", "apart"] as const).flatMap((measure) => rowsOf(engine, measure, results));
  return [
    table(["work", "contestant", "jobs/s, median (least–most)", "ours ÷ it", "goal"], rates),
    table(["work", "contestant", "p50 ms (least–most)", "p99 ms (least–most)", "its p50 ÷ ours", "goal"], latencies),
  ].join("\n\n");
}

function rowsOf(engine: EngineName, measure: Measure, results: readonly Result[]): string[][] {
  const rows = entries[engine].flatMap(
    ({ name }) => results.find((result) => result.entry.name === name && result.measure === measure) ?? [],
  );
  const ours = rows.find(({ entry }) => entry === entries[engine][0]);
  return rows.map((row, i) => {
    const others = row === ours ? undefined : ours;
    const both = others && row.rounds.slice(0, others.rounds.length);
    const ratio = both && median(both.map((outcome, k) => advantage(others.rounds[k] as Outcome, outcome)));
    return [
      i === 0 ? titles[measure] : "",
      row.entry.title,
      ...figures(row),
      ratio === undefined ? "" : `${ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(1)} ×`,
      goals.map((goal) => (goal.engine === engine ? verdict(goal, row, ratio, row === ours) : "")).join(""),
    ];
  });
}

/** How many times as good as theirs ours was, in one round. */
function advantage(ours: Outcome, theirs: Outcome): number {
  if (ours.rate !== undefined) return ours.rate / (theirs.rate as number);
  return middle(theirs) / middle(ours);
}

function middle({ latencies }: Outcome): number {
  return quantile(latencies as readonly number[], 0.5);
}

function figures({ rounds }: Result): string[] {
  if (rounds[0]?.rate !== undefined) {
    return [
      spread(
        rounds.map(({ rate }) => rate as number),
        count,
      ),
    ];
  }
  return [0.5, 0.99].map((share) =>
    spread(
      rounds.map(({ latencies }) => quantile(latencies as readonly number[], share)),
      milliseconds,
    ),
  );
}

function verdict(goal: Goal, row: Result, ratio: number | undefined, isOurs: boolean): string {
  if (goal.measure !== row.measure) return "";
  if ("atMost" in goal) {
    if (!isOurs) return "";
    return `p50 ≤ ${goal.atMost} ms ${mark(median(row.rounds.map(middle)) <= goal.atMost)}`;
  }
  if (ratio === undefined || !goal.peers.includes(row.entry.name)) return "";
  return `≥ ${goal.ratio} × ${mark(ratio >= goal.ratio)}`;
}

function mark(reached: boolean): string {
  return reached ? "✓" : "✗";
}

function spread(values: readonly number[], show: (value: number) => string): string {
  return `${show(median(values))} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
}

function count(rate: number): string {
  if (rate >= 1e5) return `${Math.round(rate / 1e3)} k`;
  if (rate >= 1e4) return `${(rate / 1e3).toFixed(1)} k`;
  if (rate >= 1e3) return `${(rate / 1e3).toFixed(2)} k`;
  return String(Math.round(rate));
}

function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}
