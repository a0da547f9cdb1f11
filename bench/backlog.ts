import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { heading, median } from "./compare.ts";
import { load } from "./machine.ts";
import type { Kind, Memory, Request, Value } from "./queues/backlog-child.ts";
import { watchOthers } from "./queues/others.ts";
import { Places } from "./queues/places.ts";
import { type EngineName, entries } from "./queues/plan.ts";
import { quantile } from "./queues/race.ts";
import { table } from "./queues/report.ts";
import { Rival } from "./queues/rival.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    engines: { type: "string", default: "sqlite,postgres" },
    markdown: { type: "string" },
    folder: { type: "string" },
  },
});

type Process = Rival<Request, Value>;

const names: Readonly<Record<EngineName, string>> = { sqlite: "SQLite", postgres: "Postgres" };
const kinds: Readonly<Record<Kind, string>> = { plain: "plain jobs", ranked: "jobs with a priority" };
const backlogs = args.quick ? [1000, 10_000] : [1000, 100_000, 1_000_000];
const crowdSize = args.quick ? 1000 : 10_000;
const samples = args.quick ? 20 : 100;
const times = args.quick ? 3 : 9;
/** Jobs of one claim that is timed, from the start of a worker to its end. */
const claimed = 100;
/** One request may fill or work off a million. */
const patience = 15 * 60_000;

/** The cells of one row, by column. */
type Row = readonly string[];

const waits: Row[] = [];
const memories: Row[] = [];
const crowds: Row[] = [];

async function measureBacklog(engine: EngineName, kind: Kind, url: string): Promise<void> {
  await using producer: Process = new Rival("./backlog-child.ts");
  await using worker: Process = new Rival("./backlog-child.ts");
  for (const each of [producer, worker]) await each.ask({ do: "open", url, kind });
  const label = `${names[engine]}, ${kinds[kind]}`;
  let waiting = 0;
  for (const backlog of backlogs) {
    const jobs = backlog - waiting;
    const { ms = 0, memory = [] } = await producer.ask({ do: "fill", jobs }, patience);
    waiting = backlog;
    const { first = [], rest = [], change = 0 } = await worker.ask({ do: "claim", jobs: claimed, times }, patience);
    const beside = await worker.ask({ do: "beside", samples }, patience);
    const overtaking = await worker.ask({ do: "overtake", samples }, patience);
    waiting += change + (overtaking.change ?? 0);
    waits.push([
      label,
      backlog.toLocaleString("en"),
      spread(first),
      spread(rest),
      tail(overtaking.first),
      tail(overtaking.added),
      tail(beside.first),
    ]);
    console.error(waits.at(-1)?.join(" | "));
    if (backlog === backlogs.at(-1)) remember(`${label}: producer`, jobs, ms, memory);
  }
  const { ms = 0, memory = [] } = await worker.ask({ do: "drain", jobs: waiting }, patience);
  remember(`${label}: worker`, waiting, ms, memory);
  for (const each of [producer, worker]) await each.ask({ do: "close" });
}

function remember(label: string, jobs: number, ms: number, memory: readonly Memory[]): void {
  const at = (share: number) => memory[Math.round((memory.length - 1) * share)] as Memory;
  const most = (of: "heap" | "rss") => Math.max(...memory.map((sample) => sample[of]));
  memories.push([
    label,
    jobs.toLocaleString("en"),
    `${(jobs / ms).toFixed(1)} k`,
    [0, 0.25, 0.5, 0.75, 1].map((share) => mebibytes(at(share).heap)).join(", "),
    mebibytes(most("heap")),
    [0, 0.25, 0.5, 0.75, 1].map((share) => mebibytes(at(share).rss)).join(", "),
    mebibytes(most("rss")),
  ]);
  console.error(memories.at(-1)?.join(" | "));
}

async function measureCrowd(engine: EngineName, url: string): Promise<void> {
  for (const queues of [1, crowdSize]) {
    await using child: Process = new Rival("./backlog-child.ts");
    await child.ask({ do: "open", url, kind: "plain" });
    const idleMs = args.quick ? 3000 : 10_000;
    const value = await child.ask({ do: "crowd", queues, idleMs, samples }, patience);
    const { ms = 0, memory = [], first = [], processor = 0 } = value;
    const [before, after] = memory as [Memory, Memory];
    crowds.push([
      names[engine],
      queues.toLocaleString("en"),
      `${(ms / 1000).toFixed(2)}`,
      `${processor.toFixed(2)} ms`,
      `${((after.heap - before.heap) / 1024 / queues).toFixed(1)} KiB`,
      mebibytes(after.rss),
      tail(first),
    ]);
    console.error(crowds.at(-1)?.join(" | "));
    await child.ask({ do: "close" });
  }
}

function spread(values: readonly number[]): string {
  return `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;
}

function tail(values: readonly number[] = []): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${quantile(sorted, 0.5).toFixed(2)}, ${quantile(sorted, 0.99).toFixed(2)}`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

const engines = args.engines.split(",").map((name) => {
  if (!(name in entries)) throw new Error(`--engines: ${name} is neither of ${Object.keys(entries).join(", ")}`);
  return name as EngineName;
});
const head = heading();
const others = await watchOthers();
await using places = new Places(args.folder);
for (const engine of engines) {
  if (engine === "postgres") {
    const missing = await places.start("postgres");
    if (missing !== undefined) {
      console.error(`Postgres is not measured: ${missing}`);
      continue;
    }
  }
  const store = engine === "sqlite" ? "folder" : "database";
  const measures = [
    (url: string) => measureBacklog(engine, "plain", url),
    (url: string) => measureBacklog(engine, "ranked", url),
    (url: string) => measureCrowd(engine, url),
  ];
  for (const measure of measures) {
    const { place, remove } = await places.empty(store);
    await measure(place.url ?? `sqlite:${place.folder}/data.db`);
    await remove();
  }
}
await places[Symbol.asyncDispose]();
const report = `# Queues: a large backlog, many queues

A producer and a worker in processes of their own, on one store. The backlog grows from row to row; plain jobs wait in batches of many to an entry, jobs with a priority have an entry each. Does what is
done at the head of the queue get slower with what waits behind it? Run with \`node bench/backlog.ts\`; the peers are in [QUEUES.md](QUEUES.md).

- *A new worker's first job*: from \`work\` to the first handler, which begins with leases; ${times} workers one after another, then each handles ${claimed} jobs, 50 at a time and none fetched ahead, and closes.
- *A job that outranks all*: four handlers are busy for 20 ms with each job of the backlog; up to that long the job waits for one of them.
- *Memory* is read after a collection, twenty times over the run; resident memory is of the whole process, SQLite's thread included.
- *Idle queues*: after all workers have started; one queue stands beside for comparison. Processor time is that of the process, without Postgres.

${head}
- load ${load()} after; ${await others()}

${table(
  [
    "backlog",
    "jobs waiting",
    `a new worker's first job, ms, median (least–most)`,
    `then ${claimed} jobs handled, acknowledged, and the worker closed, ms`,
    "a job that outranks all, `add` → handler, p50, p99 ms",
    "its `add` alone, p50, p99 ms",
    "a job of an idle queue beside it, `add` → handler, p50, p99 ms",
  ],
  waits,
)}

${table(
  [
    "process",
    "jobs",
    "jobs/s",
    "heap MiB at 0, 25, 50, 75, 100 %",
    "most",
    "resident MiB at 0, 25, 50, 75, 100 %",
    "most",
  ],
  memories,
)}

${table(
  [
    "engine",
    "idle queues with a worker each",
    "s to start them",
    "processor time in a second of idleness",
    "heap for each",
    "resident MiB",
    "`add` to one of them → handler, p50, p99 ms",
  ],
  crowds,
)}
`;
if (args.markdown) writeFileSync(args.markdown, report);
console.log(report);
