import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { findPostgres, type PostgresServer, startPostgres } from "../test/servers/postgres.ts";
import { measureRoundTrip, measureSync } from "./anchors.ts";
import { type ContestantName, type Workload, workloads } from "./contestant.ts";
import { describeMachine, load } from "./machine.ts";
import { meterOf, serverMeterOf } from "./meter.ts";
import { full, quick, type Sizes, type Suite, suites, titles } from "./plan.ts";
import { type Runner, race, watchLoops } from "./race.ts";
import { type Report, render } from "./report.ts";
import { MissingError, Rival } from "./rival.ts";

const usage = `usage: node bench/run.ts [--only sqlite|postgres|memory] [--workload get,set,…] [--quick]
  [--json file] [--markdown file] [--folder folder on the disk to measure] [--cpu-prof folder for our profiles]
workloads: ${workloads.join(", ")}`;

interface Choice {
  readonly suites: readonly Suite[];
  readonly workloads: readonly Workload[];
  readonly sizes: Sizes;
  readonly folder: string;
  readonly profiles: string | undefined;
}

interface Growing extends Report {
  readonly anchors: Report["anchors"][number][];
  readonly results: Report["results"][number][];
  readonly delays: Report["delays"][number][];
  readonly absent: string[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      workload: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      markdown: { type: "string" },
      folder: { type: "string", default: tmpdir() },
      "cpu-prof": { type: "string" },
    },
  });
  const folder = mkdtempSync(join(values.folder, "ashlar-bench-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      rmSync(folder, { recursive: true, force: true });
      process.exit(1);
    });
  }
  const choice: Choice = {
    suites: choose(values.only, suites, ({ engine }) => engine),
    workloads: choose(values.workload, workloads, (name) => name),
    sizes: values.quick ? quick : full,
    folder,
    profiles: values["cpu-prof"] && resolve(values["cpu-prof"]),
  };
  const report: Growing = {
    machine: describeMachine(),
    sizes: choice.sizes,
    anchors: [],
    results: [],
    delays: [],
    absent: [],
  };
  const start = performance.now();
  try {
    report.anchors.push({ what: "4 KiB write + fdatasync, before", latency: measureSync(folder) });
    for (const suite of choice.suites) await runSuite(suite, choice, report);
    report.anchors.push({ what: "4 KiB write + fdatasync, after", latency: measureSync(folder) });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const seconds = (performance.now() - start) / 1000;
  const text = render({
    ...report,
    machine: [...report.machine, `load ${load()} after; took ${seconds.toFixed(0)} s`],
  });
  console.log(text);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  if (values.markdown !== undefined)
    writeFileSync(values.markdown, `# Results\n\nHow to read them: [README](README.md).\n\n${text}`);
}

async function runSuite(suite: Suite, choice: Choice, report: Growing): Promise<void> {
  if (suite.engine !== "postgres") return await runOn(suite, choice, report, undefined);
  if (findPostgres() === undefined) {
    report.absent.push("postgres: the server is not installed");
    return;
  }
  // Stock durability (fsync, synchronous_commit and full_page_writes are on) and stock memory.
  await using server = await startPostgres({ settings: { shared_buffers: "128MB", max_connections: "100" } });
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  try {
    report.anchors.push({ what: "loopback round trip, SELECT 1", latency: await measureRoundTrip(admin) });
    await runOn(suite, choice, report, { server, admin });
  } finally {
    await admin.end();
  }
}

/** A server that runs, and a connection to it that may do anything. */
interface Served {
  readonly server: PostgresServer;
  readonly admin: pg.Client;
}

async function runOn(suite: Suite, choice: Choice, report: Growing, served: Served | undefined): Promise<void> {
  await using open = new AsyncDisposableStack();
  const runners: Runner[] = [];
  for (const name of [suite.ours, ...suite.peers]) {
    say(`${titles[name]}: ${choice.sizes.keys} keys`);
    try {
      const runner = await enter(name, choice, served);
      open.use(runner.rival);
      runners.push(runner);
      await runner.rival.load(choice.sizes.keys);
    } catch (error) {
      if (!(error instanceof MissingError)) throw error;
      report.absent.push(`${name}: not installed (${error.message.split(/ imported from|\n/)[0]})`);
    }
  }
  await raceAll(suite, runners, choice, report);
}

/** Starts a contestant's process. */
async function enter(name: ContestantName, { folder, profiles }: Choice, served: Served | undefined): Promise<Runner> {
  const own = join(folder, name);
  mkdirSync(own);
  const nodeOptions =
    profiles !== undefined && name.startsWith("ashlar-") ? ["--cpu-prof", `--cpu-prof-dir=${profiles}`] : [];
  if (served === undefined) {
    const rival = await Rival.open(name, { folder: own, serverUrl: undefined }, nodeOptions);
    return { rival, meter: meterOf(folder, rival.pid) };
  }
  const { server, admin } = served;
  const database = name.replaceAll("-", "_");
  await admin.query(`CREATE DATABASE ${database}`);
  const serverUrl = server.url.replace(/[^/]+$/, database);
  const rival = await Rival.open(name, { folder: own, serverUrl }, nodeOptions);
  return { rival, meter: serverMeterOf(folder, rival.pid, server, admin) };
}

async function raceAll(suite: Suite, runners: readonly Runner[], choice: Choice, report: Growing): Promise<void> {
  const { engine } = suite;
  const { sizes } = choice;
  const fill = async (how: "fill-log" | "fill-log-singly", records: number) => {
    for (const { rival } of runners) await rival.fillLog(how, records);
  };
  if (choice.workloads.some((workload) => workload.startsWith("read-log")))
    await fill("fill-log", sizes.records[engine]);
  for (const workload of choice.workloads) {
    say(`${engine}: ${workload}`);
    if (workload === "read-log-single") await fill("fill-log-singly", sizes.recordsSingly[engine]);
    report.results.push(...(await race(suite, workload, runners, sizes)));
    if (workload === "set" && engine !== "memory") report.delays.push(...(await watchLoops(engine, runners, sizes)));
  }
}

function choose<T>(given: string | undefined, all: readonly T[], nameOf: (item: T) => string): readonly T[] {
  if (given === undefined) return all;
  const names = given.split(",");
  const unknown = names.filter((name) => !all.some((item) => nameOf(item) === name));
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(", ")}\n${usage}`);
    process.exit(2);
  }
  return all.filter((item) => names.includes(nameOf(item)));
}

function say(what: string): void {
  console.error(what);
}

await main();
