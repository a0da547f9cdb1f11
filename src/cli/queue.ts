import { type Duration, toMilliseconds } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import { createQueue, type JobInfo, type ListedState, type Queue } from "../messaging/queue/index.ts";
import {
  type Arguments,
  type Command,
  type Context,
  exitCodes,
  expectArguments,
  isInterruption,
  open,
  parse,
  UsageError,
} from "./command.ts";
import { parseValue, toJson } from "./json-values.ts";
import { columns, namesOf } from "./names.ts";

const help = `Usage: ashlar queue list    <url>
       ashlar queue inspect <url> <queue> [<id>]
       ashlar queue jobs    <url> <queue> [--state waiting] [--limit n]
       ashlar queue add     <url> <queue> <value> [--delay 10m] [--priority n] [--key k] [--dedupe k] [--expires 1h]
       ashlar queue tail    <url> <queue> [--limit n]
       ashlar queue pause | resume <url> <queue>
       ashlar queue cancel | promote <url> <queue> <id>
       ashlar queue redrive <url> <queue> [<id>…] [--limit n] [--per 1m]
       ashlar queue purge   <url> <queue> [--dead] --yes

Values    JSON, as for ashlar kv

Options   --state     waiting, delayed, blocked, active, dead or finished (jobs; default waiting)
          --limit     jobs at most (jobs, tail, redrive); with --per: in each such time (redrive)
          --dead      dead letters instead of what waits (purge)
          --yes       does it: what is purged is gone
          --url       the store, instead of the first argument
          --json      one JSON object a line

list shows queues that have been taken from, or have jobs with options: plain jobs that nobody has ever taken from are
no keys yet. tail shows plain jobs as they are added, until it is interrupted. inspect, cancel, promote exit with 1 if
there is no such job.`;

const options = {
  state: "string",
  limit: "string",
  delay: "string",
  priority: "string",
  key: "string",
  dedupe: "string",
  expires: "string",
  per: "string",
  dead: "boolean",
  yes: "boolean",
} as const;
type Given = Arguments<keyof typeof options>;

export const queueCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`queue: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  inspect,
  jobs,
  add,
  tail,
  pause: (given, context) => hold(given, context, true),
  resume: (given, context) => hold(given, context, false),
  cancel: (given, context) => act(given, context, (queue, id) => queue.cancel(id)),
  promote: (given, context) => act(given, context, (queue, id) => queue.promote(id)),
  redrive,
  purge,
};

function queueIn(engine: Engine, given: Given): Queue<unknown> {
  return createQueue<unknown>(engine, given.rest[0] as string);
}

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  await using engine = await open(given.url, context);
  const rows: unknown[][] = [];
  for await (const name of namesOf(engine, "queue", context.signal)) {
    const counts = await createQueue(engine, name).counts();
    if (given.json) await context.output.line(JSON.stringify({ queue: name, ...counts }));
    const { waiting, delayed, blocked, active, dead, paused } = counts;
    rows.push([name, waiting, delayed, blocked, active, dead, paused ? "paused" : ""]);
  }
  if (given.json || rows.length === 0) return exitCodes.good;
  for (const line of columns([["queue", "waiting", "delayed", "blocked", "active", "dead", ""], ...rows]))
    await context.output.line(line);
  return exitCodes.good;
}

async function inspect(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the queue", "the id"], 1);
  await using engine = await open(given.url, context);
  const queue = queueIn(engine, given);
  const id = given.rest[1];
  if (id === undefined) {
    const counts = await queue.counts();
    if (given.json) await context.output.line(JSON.stringify({ queue: queue.name, ...counts }));
    else for (const line of columns(Object.entries(counts))) await context.output.line(line);
    return exitCodes.good;
  }
  const job = await queue.get(id);
  if (!job) {
    context.output.note(`no job ${id} is known in ${queue.name}`);
    return exitCodes.found;
  }
  await context.output.line(JSON.stringify(describe(job), undefined, given.json ? undefined : 2));
  return exitCodes.good;
}

async function jobs(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the queue"]);
  const state = given.text("state") ?? "waiting";
  const limit = given.count("limit", 1);
  await using engine = await open(given.url, context);
  const { signal } = context;
  const found = queueIn(engine, given).list(state as ListedState, { signal, ...(limit !== undefined && { limit }) });
  for await (const job of found) {
    const failure = job.history?.at(-1);
    await context.output.line(
      given.json
        ? JSON.stringify(describe(job))
        : `${job.id}\t${job.state}\t${JSON.stringify(toJson(job.data ?? null))}${failure ? `\t${failure.name}: ${failure.message}` : ""}`,
    );
  }
  return exitCodes.good;
}

async function add(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the queue", "the value"]);
  const data = parseValue(given.rest[1] as string, "value");
  const priority = given.text("priority");
  const delay = duration(given, "delay");
  const expires = duration(given, "expires");
  const key = given.text("key");
  const dedupe = given.text("dedupe");
  await using engine = await open(given.url, context);
  const added = await queueIn(engine, given).add(data, {
    ...(delay !== undefined && { delay }),
    ...(expires !== undefined && { expires }),
    ...(priority !== undefined && { priority: Number(priority) }),
    ...(key !== undefined && { key }),
    ...(dedupe !== undefined && { dedupe }),
  });
  if (added.duplicate && !given.json) context.output.note("a job with this deduplication key is there already");
  await context.output.line(given.json ? JSON.stringify(added) : added.id);
  return exitCodes.good;
}

async function tail(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the queue"]);
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  await using engine = await open(given.url, context);
  const scope = engine.scope("queue", given.rest[0] as string);
  try {
    for await (const records of scope.log.tail<[id: string, data: unknown]>(["lane"], {
      from: "end",
      signal: context.signal,
    })) {
      for (const { time, value } of records.slice(0, left)) {
        const [id, data] = value;
        await context.output.line(
          given.json
            ? JSON.stringify({ id, time, data: toJson(data) })
            : `${new Date(time).toISOString()}\t${id}\t${JSON.stringify(toJson(data))}`,
        );
      }
      left -= records.length;
      if (left <= 0) break;
    }
  } catch (error) {
    if (!isInterruption(error, context)) throw error;
  }
  return exitCodes.good;
}

async function hold(given: Given, context: Context, paused: boolean): Promise<number> {
  expectArguments(given.rest, ["the queue"]);
  await using engine = await open(given.url, context);
  const queue = queueIn(engine, given);
  await (paused ? queue.pause() : queue.resume());
  await context.output.line(given.json ? JSON.stringify({ queue: queue.name, paused }) : paused ? "paused" : "resumed");
  return exitCodes.good;
}

async function act(
  given: Given,
  context: Context,
  what: (queue: Queue<unknown>, id: string) => Promise<boolean>,
): Promise<number> {
  expectArguments(given.rest, ["the queue", "the id"]);
  const id = given.rest[1] as string;
  await using engine = await open(given.url, context);
  const done = await what(queueIn(engine, given), id);
  if (given.json) await context.output.line(JSON.stringify({ id, done }));
  else if (!done) context.output.note(`job ${id} is in no state for that, or not known`);
  return done ? exitCodes.good : exitCodes.found;
}

async function redrive(given: Given, context: Context): Promise<number> {
  if (given.rest.length === 0) throw new UsageError("the queue is missing");
  const [, ...ids] = given.rest;
  const limit = given.count("limit", 1);
  const per = duration(given, "per");
  await using engine = await open(given.url, context);
  const redriven = await queueIn(engine, given).deadLetters.redrive({
    ...(ids.length > 0 && { ids }),
    ...(limit !== undefined && { limit }),
    ...(per !== undefined && { per }),
    signal: context.signal,
  });
  await context.output.line(given.json ? JSON.stringify({ redriven }) : String(redriven));
  return exitCodes.good;
}

async function purge(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the queue"]);
  if (!given.flag("yes")) throw new UsageError("purge takes out jobs for good: say --yes if that is meant");
  await using engine = await open(given.url, context);
  const purged = await queueIn(engine, given).purge({ dead: given.flag("dead"), signal: context.signal });
  await context.output.line(given.json ? JSON.stringify({ purged }) : String(purged));
  return exitCodes.good;
}

function duration(given: Given, name: "delay" | "expires" | "per"): number | undefined {
  const text = given.text(name);
  return text === undefined ? undefined : toMilliseconds(text as Duration, `--${name}`);
}

function describe({ data, result, progress, ...job }: JobInfo): unknown {
  return {
    ...job,
    ...(data !== undefined && { data: toJson(data) }),
    ...(result !== undefined && { result: toJson(result) }),
    ...(progress !== undefined && { progress: toJson(progress) }),
  };
}
