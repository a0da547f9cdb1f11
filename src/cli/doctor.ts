import { mkdtemp, open as openFile, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Engine } from "../engine/index.ts";
import { type Command, type Context, exitCodes, expectArguments, open, parse } from "./command.ts";
import { table } from "./output.ts";
import { fileOf } from "./sqlite-file.ts";

const help = `Usage: ashlar doctor [<url>]

Looks at this machine and at the store: the version of Node, how long a round trip and a durable
commit take, how far the store's clock is from this machine's, how long the disk takes to make a
small write durable, and what the store promises. Without a URL it looks at the machine alone.
The commits go to one key below ["ashlar-doctor"], which is removed again.

Options   --url       the store, instead of the first argument
          --json      the findings as one JSON object

Exits with 1 if something should be looked into, with 3 if the store cannot be reached.`;

/** One thing that was looked at. */
interface Finding {
  readonly what: string;
  /** What was found, for people. */
  readonly text: string;
  /** What should be done about it; absent if all is well. */
  readonly problem?: string;
  /** What was found, for programs. */
  readonly data: unknown;
}

export const doctorCommand: Command = {
  help,
  async run(args, context) {
    const given = parse(args, {}, context);
    expectArguments(given.rest, []);
    const findings: Finding[] = [nodeVersion()];
    if (given.url === undefined) findings.push(await disk(process.cwd()));
    else findings.push(...(await store(given.url, context)));
    const problems = findings.filter(({ problem }) => problem !== undefined);
    await print(findings, given.json, context);
    return problems.length === 0 ? exitCodes.good : exitCodes.found;
  },
};

async function print(findings: readonly Finding[], json: boolean, { output }: Context): Promise<void> {
  if (json) {
    const entries = findings.map(({ what, data, problem }) => [
      what,
      { ...(data as object), ...(problem !== undefined && { problem }) },
    ]);
    await output.line(JSON.stringify(Object.fromEntries(entries)));
    return;
  }
  const rows = findings.map(({ what, text, problem }) => [
    problem === undefined ? "✓" : "✗",
    what,
    problem === undefined ? text : `${text}: ${problem}`,
  ]);
  for (const line of table(rows)) await output.line(line);
}

const leastNode = 24;

function nodeVersion(): Finding {
  const { version } = process;
  const major = Number(version.slice(1).split(".")[0]);
  const problem = major >= leastNode ? {} : { problem: `Ashlar needs Node ${leastNode} or later` };
  return { what: "node", text: version, data: { version }, ...problem };
}

async function store(url: string, context: Context): Promise<Finding[]> {
  await using engine = await open(url, context);
  const clock = await measureClock(engine);
  const findings: Finding[] = [
    { what: "engine", text: engine.name, data: { name: engine.name } },
    { what: "round trip", text: milliseconds(clock.ping, "median"), data: { ms: clock.ping } },
    clockFinding(clock),
    await commitFinding(engine),
  ];
  if (engine.name === "sqlite") findings.push(await disk(dirname(resolve(fileOf(url)))));
  findings.push(durabilityFinding(engine));
  return findings;
}

interface ClockReading {
  /** Median of the round trips, milliseconds. */
  readonly ping: number;
  /** The engine's clock minus this machine's, milliseconds. */
  readonly offset: number;
  /** The offset is right to within this many milliseconds. */
  readonly error: number;
}

/**
 * Cristian's algorithm: the engine read its clock somewhere within the round trip, so half of it bounds the error, and the
 * shortest of several round trips bounds it best.
 */
async function measureClock(engine: Engine): Promise<ClockReading> {
  const trips: number[] = [];
  let best = { offset: 0, error: Number.POSITIVE_INFINITY };
  // The first opens connections and does not count.
  await engine.now();
  for (let i = 0; i < 30; i++) {
    const wall = Date.now();
    const begin = performance.now();
    const theirs = await engine.now();
    const trip = performance.now() - begin;
    trips.push(trip);
    // Both clocks are read in whole milliseconds at worst.
    const error = trip / 2 + 1;
    if (error < best.error) best = { offset: theirs - (wall + trip / 2), error };
  }
  return { ping: median(trips), ...best };
}

const worstOffsetMs = 500;

function clockFinding({ offset, error }: ClockReading): Finding {
  const direction = offset >= 0 ? "ahead of" : "behind";
  const apart = Math.abs(offset) > error;
  const text = apart
    ? `${Math.abs(offset).toFixed(1)} ms ${direction} this machine (± ${error.toFixed(1)} ms)`
    : `the same as this machine's (± ${error.toFixed(1)} ms)`;
  const far = Math.abs(offset) - error > worstOffsetMs;
  const problem = far
    ? { problem: "times told by the store and by this machine disagree; let NTP set both clocks" }
    : {};
  return { what: "clock", text, data: { offsetMs: offset, errorMs: error }, ...problem };
}

async function commitFinding(engine: Engine): Promise<Finding> {
  const { kv } = engine.scope("ashlar-doctor");
  const times: number[] = [];
  await kv.set(["commit"], "first", { ttl: "1m" });
  for (let i = 0; i < 20; i++) {
    const begin = performance.now();
    await kv.set(["commit"], i, { ttl: "1m" });
    times.push(performance.now() - begin);
  }
  await kv.delete(["commit"]);
  const ms = median(times);
  return { what: "commit", text: milliseconds(ms, "median of one at a time"), data: { ms } };
}

function durabilityFinding({ guarantees }: Engine): Finding {
  const { durability, sharing, failover, unknownOutcomes, notes } = guarantees;
  const survives = {
    none: "nothing: the data is gone with the process",
    "process-crash": "a crash of the process",
    "power-loss": "a crash of the process and a loss of power",
  }[durability];
  return {
    what: "durability",
    text: [`a commit survives ${survives}`, ...notes].join(" · "),
    data: { durability, sharing, failover, unknownOutcomes, notes },
  };
}

/** Below this, no disk has been asked. */
const incredibleMs = 0.02;

/** How long a small write in this folder takes to be durable. */
async function disk(folder: string): Promise<Finding> {
  const scratch = await mkdtemp(join(folder, ".ashlar-doctor-"));
  try {
    await using file = await openFile(join(scratch, "file"), "w");
    const bytes = new Uint8Array(4096).fill(1);
    const times: number[] = [];
    for (let i = 0; i < 30; i++) {
      await file.write(bytes);
      const begin = performance.now();
      await file.datasync();
      times.push(performance.now() - begin);
    }
    const ms = median(times);
    const problem =
      ms < incredibleMs ? { problem: "that is too fast to be true; the disk may answer before the data is safe" } : {};
    return {
      what: "disk",
      text: milliseconds(ms, `median of 4 KiB made durable in ${folder}`),
      data: { folder, fdatasyncMs: ms },
      ...problem,
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function milliseconds(ms: number, of: string): string {
  return `${ms.toFixed(ms < 10 ? 2 : 0)} ms (${of})`;
}
