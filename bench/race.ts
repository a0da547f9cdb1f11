import type { Delay, Round } from "./closed-loop.ts";
import type { ContestantName, Workload } from "./contestant.ts";
import { type Meter, othersShare, type Reading, used } from "./meter.ts";
import { concurrencies, type EngineName, type Sizes, type Suite, watched } from "./plan.ts";
import type { Rival } from "./rival.ts";

/** Median and extremes of the rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One contestant at one workload and concurrency. */
export interface Result {
  readonly engine: EngineName;
  readonly contestant: ContestantName;
  readonly workload: Workload;
  readonly concurrency: number;
  readonly rate: Spread;
  /** Of one operation, in microseconds; `undefined` where operations are synchronous. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** Share of the commits that a conflict refused. */
  readonly refused: number;
  /** Our rate divided by this peer's, of the rounds that followed each other; `undefined` for our own result. */
  readonly ratio: Spread | undefined;
  /** Microseconds of processor time for each operation, of the client and its server; `undefined` where unknown. */
  readonly processor: number | undefined;
  /** Commits for each flush of the disk, and bytes for each commit; `undefined` for reads and where unknown. */
  readonly perFlush: number | undefined;
  readonly bytes: number | undefined;
  /** Share of the processors that others used meanwhile; `undefined` where unknown. */
  readonly others: number | undefined;
}

export interface LoopDelay {
  readonly engine: EngineName;
  readonly contestant: ContestantName;
  readonly concurrency: number;
  readonly rate: number;
  readonly delay: Delay;
}

/** A contestant with the meters that say what it uses. */
export interface Runner {
  readonly rival: Rival;
  readonly meter: Meter;
}

const writes: readonly Workload[] = ["set", "cas", "transact", "append"];

/**
 * Runs one workload: a round of each contestant in turn, again and again, never two at a time.
 */
export async function race(
  suite: Suite,
  workload: Workload,
  runners: readonly Runner[],
  sizes: Sizes,
): Promise<Result[]> {
  const results: Result[] = [];
  const able = runners.filter(({ rival }) => rival.workloads.has(workload));
  for (const concurrency of concurrencies[workload]) {
    const rounds = new Map<Runner, Counted[]>(able.map((runner) => [runner, []]));
    for (const { rival } of able) await rival.run(workload, concurrency, sizes.warmUpMs);
    for (let i = 0; i < sizes.rounds; i++) {
      for (const runner of able) rounds.get(runner)?.push(await countedRound(runner, workload, concurrency, sizes.ms));
    }
    const ours = rounds.get(able.find(({ rival }) => rival.name === suite.ours) as Runner);
    for (const [{ rival }, counted] of rounds) {
      const what = { engine: suite.engine, contestant: rival.name, workload, concurrency };
      results.push(summarise(what, counted, rival.name === suite.ours ? undefined : ours));
    }
  }
  return results;
}

/** How late the event loop of each contestant gets under writes, in one long round each. */
export async function watchLoops(engine: EngineName, runners: readonly Runner[], sizes: Sizes): Promise<LoopDelay[]> {
  const results: LoopDelay[] = [];
  for (const concurrency of watched) {
    for (const { rival } of runners) {
      if (!rival.workloads.has("set")) continue;
      const { rate, delay } = await rival.run("set", concurrency, sizes.watchMs, true);
      if (delay) results.push({ engine, contestant: rival.name, concurrency, rate, delay });
    }
  }
  return results;
}

interface Counted {
  readonly round: Round;
  readonly cost: Reading;
}

async function countedRound(
  { rival, meter }: Runner,
  workload: Workload,
  concurrency: number,
  ms: number,
): Promise<Counted> {
  const before = await meter();
  const round = await rival.run(workload, concurrency, ms);
  return { round, cost: used(before, await meter()) };
}

function summarise(
  what: Pick<Result, "engine" | "contestant" | "workload" | "concurrency">,
  counted: readonly Counted[],
  ours: readonly Counted[] | undefined,
): Result {
  const rounds = counted.map(({ round }) => round);
  const done = sum(rounds.map((round) => round.done));
  const isDurableWrite = writes.includes(what.workload) && what.engine !== "memory";
  const total = (name: keyof Reading) => sum(counted.map(({ cost }) => cost[name]));
  const [flushes, bytes, processor] = [total("flushes"), total("bytes"), total("processor")];
  return {
    ...what,
    rate: spreadOf(rounds.map((round) => round.rate)),
    p50: medianOf(rounds.map((round) => round.p50)),
    p99: medianOf(rounds.map((round) => round.p99)),
    refused: medianOf(rounds.map((round) => round.refused)) ?? 0,
    ratio: ours && spreadOf(rounds.map((round, i) => (ours[i] as Counted).round.rate / round.rate)),
    processor: processor && done && processor / done,
    perFlush: isDurableWrite && flushes && done ? done / flushes : undefined,
    bytes: isDurableWrite && bytes && done ? bytes / done : undefined,
    others: medianOf(counted.map(({ round, cost }) => othersShare(cost, round.seconds))),
  };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return { median, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length ? undefined : spreadOf(known).median;
}

/** `undefined` if one of them is. */
function sum(values: readonly (number | undefined)[]): number | undefined {
  return values.reduce((total, value) => (total === undefined || value === undefined ? undefined : total + value), 0);
}
