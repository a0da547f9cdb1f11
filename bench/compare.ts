import { describeMachine } from "./machine.ts";

/** One way to do the work, ours or a peer's. */
export interface Contender {
  /** As it stands in the table: "Ashlar", "lru-cache 11.5". */
  readonly name: string;
  /** Does the work `count` times, one after another. What it costs to get ready belongs before, not here. */
  run(count: number): void | Promise<void>;
}

/** Contenders that do the same work. The first is ours; ratios are against each of the others. */
export interface Match {
  readonly what: string;
  /** The ratio aimed at, printed beside what was reached. */
  readonly goal?: number;
  readonly contenders: readonly [ours: Contender, ...peers: Contender[]];
}

export interface MatchResult {
  readonly match: Match;
  /** Nanoseconds of one operation in each counted round, by contender. */
  readonly rounds: readonly (readonly number[])[];
}

/**
 * Runs the match in rounds: ours, each peer, ours again …, so that noise of the machine that lasts longer than a round meets all of them. Two rounds
 * before the first do not count.
 */
export async function play(
  match: Match,
  options: { readonly rounds?: number; readonly ms?: number } = {},
): Promise<MatchResult> {
  const { rounds = 7, ms = 150 } = options;
  const counts: number[] = [];
  for (const contender of match.contenders) counts.push(await countFor(contender, ms));
  const results: number[][] = match.contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of match.contenders.entries()) {
      const count = counts[i] as number;
      globalThis.gc?.();
      const start = process.hrtime.bigint();
      await contender.run(count);
      (results[i] as number[]).push(Number(process.hrtime.bigint() - start) / count);
    }
  }
  return { match, rounds: results };
}

/** The results as Markdown: what each operation costs, and how many times ours each peer takes. */
export function table(results: readonly MatchResult[]): string {
  const lines = [
    "| work | contender | ns per operation, median (least–most) | operations/s | peer's time ÷ ours | goal |",
    "|---|---|---|---|---|---|",
  ];
  for (const { match, rounds } of results) {
    for (const [i, { name }] of match.contenders.entries()) {
      const own = rounds[i] as readonly number[];
      const ratio = i === 0 ? "" : `${median(own.map((ns, k) => ns / (rounds[0]?.[k] as number))).toFixed(2)} ×`;
      const goal = i === 0 || match.goal === undefined ? "" : `${match.goal} ×`;
      lines.push(
        `| ${i === 0 ? match.what : ""} | ${name} | ${digits(median(own))} (${digits(Math.min(...own))}–${digits(Math.max(...own))}) | ${count(1e9 / median(own))} | ${ratio} | ${goal} |`,
      );
    }
  }
  return lines.join("\n");
}

/** The machine and the versions, for the head of a report. */
export function heading(peers: Readonly<Record<string, string>> = {}): string {
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`);
  return [...describeMachine(), ...(versions.length > 0 ? [versions.join(", ")] : [])]
    .map((line) => `- ${line}`)
    .join("\n");
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

async function countFor(contender: Contender, ms: number): Promise<number> {
  for (let count = 16; ; count *= 2) {
    const start = performance.now();
    await contender.run(count);
    const took = performance.now() - start;
    if (took < ms / 4) continue;
    return Math.max(1, Math.round((count * ms) / took));
  }
}

function digits(ns: number): string {
  return ns < 10 ? ns.toFixed(1) : Math.round(ns).toLocaleString("en");
}

function count(rate: number): string {
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(2)} M`;
  return rate >= 1e4 ? `${(rate / 1e3).toFixed(0)} k` : Math.round(rate).toLocaleString("en");
}
