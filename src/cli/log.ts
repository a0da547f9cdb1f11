import type { LogRecord, Offset } from "../engine/index.ts";
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
import { toJson } from "./json-values.ts";
import { parseTopic } from "./key-paths.ts";

const help = `Usage: ashlar log read <url> <topic> [--from offset] [--limit n]
       ashlar log tail <url> <topic> [--from offset|end] [--limit n]

Topics    the name as it stands, or a tuple as a JSON array: '["clicks", 3]'

Options   --from      the first record (default: the first that is kept); end: those to come
          --limit     records at most (default: all)
          --url       the store, instead of the first argument
          --json      one JSON object a line: offset, time, value

read ends with the last record, tail goes on until it is interrupted.`;

const options = { from: "string", limit: "string" } as const;
type Given = Arguments<keyof typeof options>;

export const logCommand: Command = {
  help,
  async run([action, ...args], context) {
    if (action !== "read" && action !== "tail")
      throw new UsageError(`log: given ${action ?? "nothing"}; allowed: read, tail`);
    const given = parse(args, options, context);
    expectArguments(given.rest, ["the topic"]);
    return await (action === "read" ? read(given, context) : tail(given, context));
  },
};

async function read(given: Given, context: Context): Promise<number> {
  const topic = parseTopic(given.rest[0] as string);
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  let from: Offset | undefined = given.count("from", 0);
  await using engine = await open(given.url, context);
  while (left > 0) {
    const limit = Math.min(left, 1000);
    const records: LogRecord[] = await engine.log.read(topic, {
      limit,
      ...(from !== undefined && { from }),
      signal: context.signal,
    });
    const last = records.at(-1);
    if (!last) break;
    for (const record of records) await show(record, given, context);
    left -= records.length;
    from = last.offset + 1;
  }
  return exitCodes.good;
}

async function tail(given: Given, context: Context): Promise<number> {
  const topic = parseTopic(given.rest[0] as string);
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  const from = given.text("from") === "end" ? "end" : given.count("from", 0);
  await using engine = await open(given.url, context);
  try {
    for await (const records of engine.log.tail(topic, {
      ...(from !== undefined && { from }),
      signal: context.signal,
    })) {
      for (const record of records.slice(0, left)) await show(record, given, context);
      left -= records.length;
      if (left <= 0) break;
    }
  } catch (error) {
    if (!isInterruption(error, context)) throw error;
  }
  return exitCodes.good;
}

async function show({ offset, time, value }: LogRecord, { json }: Given, { output }: Context): Promise<void> {
  const line = json
    ? JSON.stringify({ offset, time, value: toJson(value) })
    : `${offset}\t${new Date(time).toISOString()}\t${JSON.stringify(toJson(value))}`;
  await output.line(line);
}
