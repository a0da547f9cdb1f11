import type { Request } from "./child.ts";
import type { Place } from "./contestant.ts";
import type { Places } from "./places.ts";
import { type EngineName, type Entry, entries, type Measure, type Sizes } from "./plan.ts";
import { MissingError, Rival } from "./rival.ts";

/** What one contestant did in one counted round. */
export interface Outcome {
  /** Jobs per second, of "add", "bulk" and "drain". */
  readonly rate?: number;
  /** Milliseconds, sorted, of "idle" and "apart". */
  readonly latencies?: readonly number[];
}

export interface Result {
  readonly engine: EngineName;
  readonly entry: Entry;
  readonly measure: Measure;
  /** By round: all contestants' outcomes of the same index were measured one after another. */
  readonly rounds: readonly Outcome[];
}

type Process = Rival<Request, readonly number[]>;

/** A contestant and its processes: the second is there for workers apart from the producer. */
interface Team {
  readonly entry: Entry;
  readonly rivals: readonly [Process, Process];
}

/** The measures that are taken together, from one opening of the contestant. */
const courses: readonly (readonly Measure[])[] = [["add"], ["bulk", "drain"], ["idle"], ["apart"]];

/**
 * All contestants of an engine, in turn within each round, each in processes of its own that live for the whole run, on a store that is empty each time. The first round does not count.
 * Who fails takes no further part, and is named with the reason.
 * @param tell gets a line for each outcome
 */
export async function race(
  engine: EngineName,
  places: Places,
  sizes: Sizes,
  tell: (line: string) => void,
): Promise<{ readonly results: readonly Result[]; readonly absent: readonly string[] }> {
  const teams: Team[] = entries[engine].map((entry) => ({ entry, rivals: [start(), start()] }));
  const absent: string[] = [];
  const found = new Map<string, { engine: EngineName; entry: Entry; measure: Measure; rounds: Outcome[] }>();
  const drop = async (team: Team, measure: Measure, error: Error): Promise<void> => {
    if (!(error instanceof MissingError)) console.error(error);
    teams.splice(teams.indexOf(team), 1);
    absent.push(`${team.entry.title}, from "${measure}" on: ${error.message.split("\n")[0]}`);
    for (const rival of team.rivals) await rival[Symbol.asyncDispose]();
  };
  const everyone = teams.flatMap(({ rivals }) => rivals);
  try {
    for (const measures of courses) {
      for (let round = 0; round <= sizes.rounds; round++) {
        for (const team of [...teams]) {
          const { entry } = team;
          if (measures[0] === "apart" && !entry.apart) continue;
          const outcomes = await run(team, measures, places, round === 0 ? warmUp(sizes) : sizes).catch(
            async (error) => {
              await drop(team, measures[0] as Measure, error);
              return [];
            },
          );
          for (const [i, outcome] of outcomes.entries()) {
            const measure = measures[i] as Measure;
            const key = `${entry.name} ${measure}`;
            const result = found.get(key) ?? { engine, entry, measure, rounds: [] };
            found.set(key, result);
            tell(`${round === 0 ? "(warm-up) " : ""}${entry.title}, ${measure}: ${show(outcome)}`);
            if (round > 0) result.rounds.push(outcome);
          }
        }
      }
    }
  } finally {
    for (const rival of everyone) await rival[Symbol.asyncDispose]();
  }
  return { results: [...found.values()].filter(({ rounds }) => rounds.length > 0), absent };
}

function start(): Process {
  return new Rival("./child.ts");
}

function warmUp({ jobs, samples, rounds }: Sizes): Sizes {
  return { jobs: Math.ceil(jobs / 4), samples: Math.ceil(samples / 4), rounds };
}

async function run(team: Team, measures: readonly Measure[], places: Places, sizes: Sizes): Promise<Outcome[]> {
  const { place, remove } = await places.empty(team.entry.store);
  const [first, second] = team.rivals;
  try {
    await first.ask({ do: "open", name: team.entry.name, place });
    if (measures[0] === "apart") return [await apart(team, place, sizes)];
    const outcomes: Outcome[] = [];
    // The rate at which jobs go on being added, not that of the first ones on a new store.
    if (measures[0] === "add") await take(first, team.entry, "add", sizes);
    for (const measure of measures) outcomes.push(await take(first, team.entry, measure, sizes));
    return outcomes;
  } finally {
    for (const rival of measures[0] === "apart" ? [second, first] : [first])
      await rival
        .ask({ do: "close" }, 20_000)
        .catch((error: Error) => console.error(`${team.entry.title}: ${error.message}`));
    await remove();
  }
}

async function take(rival: Process, entry: Entry, measure: Measure, sizes: Sizes): Promise<Outcome> {
  const backlog = Math.min(sizes.jobs, entry.backlog ?? sizes.jobs);
  switch (measure) {
    case "add": {
      const jobs = Math.min(sizes.jobs, entry.adds ?? sizes.jobs);
      return rateOf(jobs, await rival.ask({ do: "add", jobs }));
    }
    case "bulk":
      return rateOf(backlog, await rival.ask({ do: "bulk", jobs: backlog }));
    case "drain":
      return rateOf(backlog, await rival.ask({ do: "drain", jobs: backlog }));
    default: {
      const samples = Math.min(sizes.samples, entry.samples ?? sizes.samples);
      return sorted(await rival.ask({ do: "idle", samples }));
    }
  }
}

async function apart({ entry, rivals }: Team, place: Place, sizes: Sizes): Promise<Outcome> {
  const [producer, worker] = rivals;
  const samples = Math.min(sizes.samples, entry.samples ?? sizes.samples);
  await worker.ask({ do: "open", name: entry.name, place });
  await worker.ask({ do: "listen" });
  await producer.ask({ do: "feed", samples });
  return sorted(await worker.ask({ do: "heard", samples }));
}

function rateOf(jobs: number, [ms]: readonly number[]): Outcome {
  return { rate: (jobs * 1000) / (ms as number) };
}

function sorted(ms: readonly number[]): Outcome {
  return { latencies: ms.toSorted((a, b) => a - b) };
}

export function quantile(ordered: readonly number[], share: number): number {
  return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))] as number;
}

function show({ rate, latencies }: Outcome): string {
  if (rate !== undefined) return `${Math.round(rate)}/s`;
  if (latencies === undefined) return "";
  return `p50 ${quantile(latencies, 0.5).toFixed(2)} ms, p99 ${quantile(latencies, 0.99).toFixed(2)} ms`;
}
