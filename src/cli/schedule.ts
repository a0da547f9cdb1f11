import { isAshlarError } from "../core/index.ts";
import { openSchedule, type RunReport, type ScheduleAdmin } from "../durable/schedule/index.ts";
import {
  type Arguments,
  type Command,
  type Context,
  exitCodes,
  expectArguments,
  open,
  parse,
  UsageError,
} from "./command.ts";
import { parseValue } from "./json-values.ts";
import { columns, namesOf } from "./names.ts";

const help = `Usage: ashlar schedule list     <url>
       ashlar schedule show     <url> <name>
       ashlar schedule next     <url> <name> [--limit n]
       ashlar schedule history  <url> <name> [--limit n]
       ashlar schedule pause    <url> <name>
       ashlar schedule resume   <url> <name>
       ashlar schedule run      <url> <name> [<data>]
       ashlar schedule backfill <url> <name> --from time --to time [--newest] --yes

Times     as in 2026-12-24T18:00:00Z; data: JSON, as for ashlar kv

Options   --limit   at most (next: default 10; history: default 20)
          --from    of a backfill, included
          --to      of a backfill, included
          --newest  begin with the newest
          --yes     does it: a backfill makes a run for every tick
          --url     the store, instead of the first argument
          --json    one JSON object a line

run makes one run, at once. Runs that failed for good are dead letters of the queue schedule/<name>: see ashlar queue.`;

const options = { limit: "string", from: "string", to: "string", newest: "boolean", yes: "boolean" } as const;
type Given = Arguments<keyof typeof options>;

export const scheduleCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`schedule: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  show,
  next,
  history,
  pause,
  resume,
  run,
  backfill,
};

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  await using engine = await open(given.url, context);
  const rows: unknown[][] = [["schedule", "timing", "next", "open", "failed"]];
  for await (const name of namesOf(engine, "schedule", context.signal)) {
    const info = await openSchedule(engine, name).info();
    if (given.json) await context.output.line(JSON.stringify(info));
    const when = info.paused ? "paused" : info.next === undefined ? "never" : written(info.next);
    rows.push([name, `${info.timing} ${info.timeZone}`, when, info.runs.open, info.runs.failed]);
  }
  if (!given.json && rows.length > 1) for (const line of columns(rows)) await context.output.line(line);
  return exitCodes.good;
}

async function show(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  return await withSchedule(given, context, async (schedule) => {
    const info = await schedule.info();
    if (given.json) return await context.output.line(JSON.stringify(info));
    const { begun, skipped, missed } = info.ticks;
    const rows = [
      ["timing", `${info.timing}, ${info.timeZone}, overlap: ${info.overlap}`],
      ["next", info.paused ? "paused" : info.next === undefined ? "never" : written(info.next)],
      ["last", info.last === undefined ? "never" : written(info.last)],
      ["ticks", `${begun} begun, ${skipped} skipped, ${missed} missed`],
      ["runs", `${info.runs.open} open, ${info.runs.failed} failed`],
    ];
    for (const line of columns(rows)) await context.output.line(line);
  });
}

async function next(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  const count = given.count("limit", 1) ?? 10;
  return await withSchedule(given, context, async (schedule) => {
    for (const date of await schedule.next(count))
      await context.output.line(given.json ? JSON.stringify({ time: date.getTime() }) : date.toISOString());
  });
}

async function history(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  const limit = given.count("limit", 1) ?? 20;
  return await withSchedule(given, context, async (schedule) => {
    const reports = await schedule.history({ limit });
    if (given.json) for (const report of reports) await context.output.line(JSON.stringify(report));
    else for (const line of columns(reports.map(describe))) await context.output.line(line);
  });
}

function describe({ id, time, kind, outcome, attempts, error }: RunReport): unknown[] {
  return [written(time), kind, outcome, attempts > 1 ? `${attempts} attempts` : "", id, error ?? ""];
}

async function pause(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  return await withSchedule(given, context, async (schedule) => {
    await schedule.pause();
    await context.output.line(given.json ? JSON.stringify({ paused: true }) : "paused");
  });
}

async function resume(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  return await withSchedule(given, context, async (schedule) => {
    await schedule.resume();
    await context.output.line(given.json ? JSON.stringify({ paused: false }) : "resumed");
  });
}

async function run(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule", "the data"], 1);
  const text = given.rest[1];
  const data = text === undefined ? {} : { data: parseValue(text, "data") };
  return await withSchedule(given, context, async (schedule) => {
    const id = await schedule.trigger(data);
    await context.output.line(given.json ? JSON.stringify({ id }) : id);
  });
}

async function backfill(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the name of the schedule"]);
  const [from, to] = [timeOf(given, "from"), timeOf(given, "to")];
  if (!given.flag("yes")) throw new UsageError("backfill: it makes a run for every tick; say --yes to do it");
  return await withSchedule(given, context, async (schedule) => {
    const runs = await schedule.backfill({ from, to, order: given.flag("newest") ? "newest" : "oldest" });
    await context.output.line(given.json ? JSON.stringify({ runs }) : `${runs} runs`);
  });
}

function timeOf(given: Given, option: "from" | "to"): number {
  const text = given.text(option);
  const time = text === undefined ? Number.NaN : Date.parse(text);
  if (Number.isNaN(time))
    throw new UsageError(`--${option}: given ${text ?? "nothing"}; allowed: a time such as 2026-12-24T18:00:00Z`);
  return time;
}

async function withSchedule(
  given: Given,
  context: Context,
  act: (schedule: ScheduleAdmin) => Promise<void>,
): Promise<number> {
  const [name] = given.rest;
  if (name === undefined) throw new UsageError("the name of the schedule is missing");
  await using engine = await open(given.url, context);
  try {
    await act(openSchedule(engine, name));
    return exitCodes.good;
  } catch (error) {
    if (!isAshlarError(error, "INVALID_STATE")) throw error;
    await context.output.line(given.json ? "null" : error.message);
    return exitCodes.found;
  }
}

function written(time: number): string {
  return new Date(time).toISOString();
}
