import type { Engine } from "../engine/index.ts";
import { createStream, type From, type Stream, type StreamRecord } from "../messaging/stream/index.ts";
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
import { toPlace } from "./places.ts";

const help = `Usage: ashlar stream list    <url>
       ashlar stream inspect <url> <stream> [<group>]
       ashlar stream tail    <url> <stream> [--partition n] [--from end] [--limit n]
       ashlar stream append  <url> <stream> <value> [--key k]
       ashlar stream reset   <url> <stream> <group> --to place [--partition n] --yes
       ashlar stream parked  <url> <stream> <group>
       ashlar stream redrive <url> <stream> <group>
       ashlar stream delete  <url> <stream> <group> --yes
       ashlar stream repartition <url> <stream> <partitions>

Values    JSON, as for ashlar kv
Places    start, end, an offset, or a time such as 2026-01-31T12:00:00Z

Options   --partition one partition (tail, reset; default all)
          --from      where to begin (tail; default end)
          --to        where the group is to go on
          --key       records of one key are in order (append)
          --limit     records at most (tail)
          --yes       does it: reset consumes anew, or leaves out; delete forgets positions and what is parked
          --url       the store, instead of the first argument
          --json      one JSON object a line

inspect shows the groups with their lag, or a group's position in each partition.`;

const options = {
  partition: "string",
  from: "string",
  to: "string",
  key: "string",
  limit: "string",
  yes: "boolean",
} as const;
type Given = Arguments<keyof typeof options>;

export const streamCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`stream: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  inspect,
  tail,
  append,
  reset,
  parked,
  redrive,
  delete: remove,
  repartition,
};

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  await using engine = await open(given.url, context);
  for await (const name of namesOf(engine, "stream", context.signal)) {
    const stream = await streamNamed(engine, name);
    if (!stream) continue;
    const groups = await Array.fromAsync(stream.groups.list());
    const all = await stream.partitions();
    const kept = all.reduce((sum, { first, next }) => sum + next - first, 0);
    const open = all.filter(({ sealed }) => !sealed).length;
    const about = { stream: name, partitions: open, sealed: all.length - open, records: kept, groups };
    await context.output.line(
      given.json
        ? JSON.stringify(about)
        : `${name}\t${open} partitions${open < all.length ? ` and ${all.length - open} sealed` : ""}\t${kept} records\t${groups.join(", ")}`,
    );
  }
  return exitCodes.good;
}

async function inspect(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the stream", "the group"], 1);
  return await withStream(given, context, async (stream) => {
    const group = given.rest[1];
    return group === undefined
      ? await showGroups(stream, given, context)
      : await showGroup(stream, group, given, context);
  });
}

async function showGroups(stream: Stream<unknown>, given: Given, context: Context): Promise<number> {
  const rows: unknown[][] = [["group", "lag", "behind"]];
  for await (const name of stream.groups.list()) {
    const info = await stream.groups.info(name);
    if (!info) continue;
    if (given.json) await context.output.line(JSON.stringify(info));
    rows.push([name, info.lag, `${Math.round(info.behindMs / 1000)} s`]);
  }
  if (!given.json && rows.length > 1) for (const line of columns(rows)) await context.output.line(line);
  return exitCodes.good;
}

async function showGroup(stream: Stream<unknown>, group: string, given: Given, context: Context): Promise<number> {
  const info = await stream.groups.info(group);
  if (!info) {
    context.output.note(`${stream.name} has no group ${group}`);
    return exitCodes.found;
  }
  if (given.json) await context.output.line(JSON.stringify(info));
  const rows = info.partitions.map(({ partition, position, lag }) => [partition, position ?? "-", lag]);
  if (!given.json)
    for (const line of columns([["partition", "position", "lag"], ...rows])) await context.output.line(line);
  return exitCodes.good;
}

async function tail(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the stream"]);
  const from: From = toPlace(given.text("from") ?? "end", "--from");
  const partition = given.count("partition", 0);
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  return await withStream(given, context, async (stream) => {
    const { signal } = context;
    try {
      const records = stream.read({ from, live: true, signal, ...(partition !== undefined && { partition }) });
      for await (const record of records) {
        await context.output.line(given.json ? JSON.stringify(describe(record)) : show(record));
        if (--left === 0) break;
      }
    } catch (error) {
      if (!isInterruption(error, context)) throw error;
    }
    return exitCodes.good;
  });
}

async function append(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the stream", "the value"]);
  const value = parseValue(given.rest[1] as string, "value");
  const key = given.text("key");
  return await withStream(given, context, async (stream) => {
    const { partition, offset } = await stream.append(value, key === undefined ? {} : { key });
    const at = { partition, offset: offset.value };
    await context.output.line(given.json ? JSON.stringify(at) : `${at.partition}\t${at.offset}`);
    return exitCodes.good;
  });
}

async function reset(given: Given, context: Context): Promise<number> {
  const to = given.text("to");
  if (to === undefined) throw new UsageError("--to is missing: start, end, an offset or a time");
  const place = toPlace(to, "--to");
  const partition = given.count("partition", 0);
  if (!given.flag("yes"))
    throw new UsageError("reset consumes records anew, or leaves some out: say --yes if that is meant");
  return await withGroup(given, context, async (stream, group) => {
    await stream.groups.seek(group, place, partition === undefined ? {} : { partition });
    await showGroup(stream, group, given, context);
  });
}

async function parked(given: Given, context: Context): Promise<number> {
  return await withGroup(given, context, async (stream, group) => {
    for await (const record of stream.groups.parked(group)) {
      const { error } = record;
      await context.output.line(
        given.json
          ? JSON.stringify({ ...describe(record), error })
          : `${show(record)}\t${error.name}: ${error.message}`,
      );
    }
  });
}

async function redrive(given: Given, context: Context): Promise<number> {
  return await withGroup(given, context, async (stream, group) => {
    const redriven = await stream.groups.redrive(group);
    await context.output.line(given.json ? JSON.stringify({ redriven }) : String(redriven));
  });
}

async function remove(given: Given, context: Context): Promise<number> {
  if (!given.flag("yes"))
    throw new UsageError("delete forgets the group's positions and what it has parked: say --yes if that is meant");
  return await withGroup(given, context, async (stream, group) => {
    await stream.groups.delete(group);
    await context.output.line(given.json ? JSON.stringify({ deleted: group }) : "deleted");
  });
}

async function repartition(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the stream", "the number of partitions"]);
  const count = Number(given.rest[1]);
  return await withStream(given, context, async (stream) => {
    await stream.repartition(count);
    for (const partition of await stream.partitions()) {
      const { partition: number, first, next, sealed } = partition;
      await context.output.line(
        given.json ? JSON.stringify(partition) : `${number}\t${first}\t${next}${sealed ? "\tsealed" : ""}`,
      );
    }
    return exitCodes.good;
  });
}

/** The stream as the store has it; `undefined`: there is none. */
async function streamNamed(engine: Engine, name: string): Promise<Stream<unknown> | undefined> {
  const present = await engine.kv.get(["stream", name, "partitions"]);
  return present && createStream<unknown>(engine, name);
}

/** Exits with 1 if there is no such stream: nobody but its program knows how many partitions it is to have. */
async function withStream(
  given: Given,
  context: Context,
  what: (stream: Stream<unknown>) => Promise<number>,
): Promise<number> {
  const name = given.rest[0] as string;
  await using engine = await open(given.url, context);
  const stream = await streamNamed(engine, name);
  if (stream) return await what(stream);
  context.output.note(`there is no stream ${name}`);
  return exitCodes.found;
}

async function withGroup(
  given: Given,
  context: Context,
  what: (stream: Stream<unknown>, group: string) => Promise<void>,
): Promise<number> {
  expectArguments(given.rest, ["the stream", "the group"]);
  return await withStream(given, context, async (stream) => {
    const group = given.rest[1] as string;
    if ((await stream.groups.info(group)) === undefined) {
      context.output.note(`${stream.name} has no group ${group}`);
      return exitCodes.found;
    }
    await what(stream, group);
    return exitCodes.good;
  });
}

function describe({ value, ...record }: StreamRecord<unknown>): Record<string, unknown> {
  return { ...record, value: toJson(value) };
}

function show({ partition, offset, time, key, value }: StreamRecord<unknown>): string {
  return `${partition}/${offset}\t${new Date(time).toISOString()}\t${key ?? "-"}\t${JSON.stringify(toJson(value))}`;
}
