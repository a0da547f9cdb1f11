import { type Duration, type KeyRange, toMilliseconds } from "../core/index.ts";
import type { Change, Engine, Entry } from "../engine/index.ts";
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
import { parseKey, showKey } from "./key-paths.ts";

const help = `Usage: ashlar kv get   <url> <key>
       ashlar kv set   <url> <key> <value> [--ttl 30s]
       ashlar kv rm    <url> <key>…
       ashlar kv ls    <url> [<prefix>] [--limit n] [--reverse]
       ashlar kv watch <url> [<prefix>]

Keys      a path whose whole numbers are integers: user/42 is ["user", 42];
          or a JSON array: '["user", "42", true]'
Values    JSON: '{"name": "Ada"}', '"text"', 42. What JSON cannot say is marked:
          {"$bytes": "AAEC"}  {"$bigint": "1"}  {"$date": "2026-01-31T12:00:00Z"}
          {"$map": [[1, 2]]}  {"$set": [1]}  {"$number": "NaN"}

Options   --ttl       time to live, such as 500ms, 30s, 2h (set)
          --limit     entries at most (ls)
          --reverse   the last first (ls)
          --url       the store, instead of the first argument
          --json      one JSON object a line: key, value, version, ttl

get exits with 1 if the key is absent. watch goes on until it is interrupted.`;

const options = { ttl: "string", limit: "string", reverse: "boolean" } as const;
type Given = Arguments<keyof typeof options>;

export const kvCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`kv: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  get,
  set,
  rm,
  ls,
  watch,
};

async function get(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the key"]);
  const key = parseKey(given.rest[0] as string);
  await using engine = await open(given.url, context);
  const entry = await engine.kv.get(key);
  if (!entry) {
    context.output.note(`${showKey(key)} is absent`);
    return exitCodes.found;
  }
  await context.output.line(JSON.stringify(given.json ? describe(entry) : toJson(entry.value)));
  return exitCodes.good;
}

async function set(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the key", "the value"]);
  const [key, text] = given.rest as [string, string];
  const value = parseValue(text, "value");
  const ttl = given.text("ttl");
  // Checked before a store is opened, and maybe made, in vain.
  const options = ttl === undefined ? {} : { ttl: toMilliseconds(ttl as Duration, "--ttl", { min: 1 }) };
  const parsed = parseKey(key);
  await using engine = await open(given.url, context);
  const { version } = await engine.kv.set(parsed, value, options);
  await context.output.line(given.json ? JSON.stringify({ key: toJson(parsed), version }) : version);
  return exitCodes.good;
}

async function rm(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest.slice(0, 1), ["the key"]);
  const keys = given.rest.map((text) => parseKey(text));
  await using engine = await open(given.url, context);
  const present = await Promise.all(keys.map((key) => engine.kv.get(key)));
  await engine.kv.commit({ mutations: keys.map((key) => ({ delete: key })) });
  const removed = keys.filter((_, i) => present[i] !== undefined);
  if (given.json) await context.output.line(JSON.stringify({ removed: removed.map((key) => toJson(key)) }));
  else for (const key of removed) await context.output.line(showKey(key));
  return exitCodes.good;
}

async function ls(given: Given, context: Context): Promise<number> {
  const range = rangeOf(given);
  const limit = given.count("limit", 0);
  await using engine = await open(given.url, context);
  const { signal } = context;
  for await (const entry of engine.kv.list(range, {
    ...(limit !== undefined && { limit }),
    reverse: given.flag("reverse"),
    signal,
  })) {
    await context.output.line(
      given.json ? JSON.stringify(describe(entry)) : `${showKey(entry.key)}\t${JSON.stringify(toJson(entry.value))}`,
    );
  }
  return exitCodes.good;
}

async function watch(given: Given, context: Context): Promise<number> {
  const range = rangeOf(given);
  await using engine = await open(given.url, context);
  try {
    await follow(engine, range, given, context);
  } catch (error) {
    if (!isInterruption(error, context)) throw error;
  }
  return exitCodes.good;
}

async function follow(engine: Engine, range: KeyRange, { json }: Given, { output, signal }: Context): Promise<void> {
  for await (const changes of engine.kv.watch(range, { signal })) {
    for (const change of changes) await output.line(json ? JSON.stringify(describe(change)) : showChange(change));
  }
}

function showChange(change: Change): string {
  return change.deleted
    ? `${showKey(change.key)}\tis gone`
    : `${showKey(change.key)}\t${JSON.stringify(toJson(change.value))}`;
}

/** The prefix and what lies below it, or everything. */
function rangeOf({ rest }: Given): KeyRange {
  expectArguments(rest, ["the prefix"], 1);
  const [prefix] = rest;
  return prefix === undefined ? {} : { prefix: parseKey(prefix, "prefix") };
}

function describe(what: Entry | Change): unknown {
  if ("deleted" in what) return { key: toJson(what.key), deleted: true };
  const { key, value, version, ttl } = what as Entry;
  return { key: toJson(key), value: toJson(value), version, ...(ttl !== undefined && { ttl }) };
}
