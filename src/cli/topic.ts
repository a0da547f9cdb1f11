import type { Engine } from "../engine/index.ts";
import { createTopic, type Topic, type TopicEvent } from "../messaging/topic/index.ts";
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

const help = `Usage: ashlar topic list    <url>
       ashlar topic inspect <url> <topic>
       ashlar topic tail    <url> <topic> [--from end] [--type pattern] [--limit n]
       ashlar topic publish <url> <topic> <value> [--key k] [--type t]
       ashlar topic pause | resume <url> <topic> <subscription>
       ashlar topic reset   <url> <topic> <subscription> --to place --yes
       ashlar topic dead    <url> <topic> <subscription> [--limit n]
       ashlar topic redrive <url> <topic> <subscription> [<id>…] [--limit n]
       ashlar topic delete  <url> <topic> <subscription> --yes

Values    JSON, as for ashlar kv
Places    start, end, an offset, or a time such as 2026-01-31T12:00:00Z

Options   --from      where to begin (tail; default end)
          --to        where the subscription is to go on
          --type      of the event (publish); a pattern such as order.* (tail)
          --key       events of one key are in order (publish)
          --limit     at most (tail, dead, redrive)
          --yes       does it: reset handles anew, or leaves out; delete forgets position and dead letters
          --url       the store, instead of the first argument
          --json      one JSON object a line

list shows topics that have subscriptions. inspect shows them with position and lag.`;

const options = {
  from: "string",
  to: "string",
  type: "string",
  key: "string",
  limit: "string",
  yes: "boolean",
} as const;
type Given = Arguments<keyof typeof options>;

export const topicCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`topic: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  inspect,
  tail,
  publish,
  pause: (given, context) => hold(given, context, true),
  resume: (given, context) => hold(given, context, false),
  reset,
  dead,
  redrive,
  delete: remove,
};

function topicIn(engine: Engine, given: Given): Topic<unknown> {
  return createTopic<unknown>(engine, given.rest[0] as string);
}

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  await using engine = await open(given.url, context);
  for await (const name of namesOf(engine, "topic", context.signal)) {
    const { first, next } = await createTopic(engine, name).bounds();
    await context.output.line(
      given.json ? JSON.stringify({ topic: name, first, next }) : `${name}\t${first} to ${next}`,
    );
  }
  return exitCodes.good;
}

async function inspect(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the topic"]);
  await using engine = await open(given.url, context);
  const topic = topicIn(engine, given);
  const rows: unknown[][] = [["subscription", "position", "lag", "behind", "delayed", "active", "dead", ""]];
  for await (const info of topic.subscriptions()) {
    const counts = await topic.subscription(info.name).counts();
    if (given.json) await context.output.line(JSON.stringify({ ...info, ...counts }));
    const behind = `${Math.round(info.behindMs / 1000)} s`;
    const { delayed, blocked, active, dead: failed, paused } = counts;
    rows.push([info.name, info.position, info.lag, behind, delayed + blocked, active, failed, paused ? "paused" : ""]);
  }
  if (given.json) return exitCodes.good;
  const { first, next } = await topic.bounds();
  await context.output.line(`${next - first} events, from offset ${first}`);
  if (rows.length > 1) for (const line of columns(rows)) await context.output.line(line);
  return exitCodes.good;
}

async function tail(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the topic"]);
  const from = toPlace(given.text("from") ?? "end", "--from");
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  const types = given.text("type");
  await using engine = await open(given.url, context);
  const { signal } = context;
  try {
    const events = topicIn(engine, given).read({ from, live: true, signal, ...(types !== undefined && { types }) });
    for await (const event of events) {
      await context.output.line(given.json ? JSON.stringify(describe(event)) : show(event));
      if (--left === 0) break;
    }
  } catch (error) {
    if (!isInterruption(error, context)) throw error;
  }
  return exitCodes.good;
}

async function publish(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the topic", "the value"]);
  const data = parseValue(given.rest[1] as string, "value");
  const key = given.text("key");
  const type = given.text("type");
  await using engine = await open(given.url, context);
  const published = await topicIn(engine, given).publish(data, {
    ...(key !== undefined && { key }),
    ...(type !== undefined && { type }),
  });
  const { id } = published;
  await context.output.line(given.json ? JSON.stringify({ id, offset: published.offset.value }) : id);
  return exitCodes.good;
}

async function hold(given: Given, context: Context, paused: boolean): Promise<number> {
  return await withSubscription(given, context, async (subscription) => {
    await (paused ? subscription.pause() : subscription.resume());
    await context.output.line(given.json ? JSON.stringify({ paused }) : paused ? "paused" : "resumed");
  });
}

async function reset(given: Given, context: Context): Promise<number> {
  const to = given.text("to");
  if (to === undefined) throw new UsageError("--to is missing: start, end, an offset or a time");
  const place = toPlace(to, "--to");
  if (!given.flag("yes"))
    throw new UsageError("reset handles events anew, or leaves some out: say --yes if that is meant");
  return await withSubscription(given, context, async (subscription) => {
    await subscription.seek(place);
    const position = (await subscription.info())?.position;
    await context.output.line(given.json ? JSON.stringify({ position }) : String(position));
  });
}

async function dead(given: Given, context: Context): Promise<number> {
  const limit = given.count("limit", 1);
  return await withSubscription(given, context, async ({ deadLetters }) => {
    for await (const letter of deadLetters.list(limit === undefined ? {} : { limit })) {
      const { event, id, reason, history, at } = letter;
      const failure = history.at(-1);
      await context.output.line(
        given.json
          ? JSON.stringify({ id, reason, at, history, event: describe(event) })
          : `${id}\t${show(event)}\t${failure ? `${failure.name}: ${failure.message}` : reason}`,
      );
    }
  });
}

async function redrive(given: Given, context: Context): Promise<number> {
  const [topic, name, ...ids] = given.rest;
  const limit = given.count("limit", 1);
  const some = { ...given, rest: [topic, name].filter((part) => part !== undefined) };
  return await withSubscription(some, context, async ({ deadLetters }) => {
    const redriven = await deadLetters.redrive({
      ...(ids.length > 0 && { ids }),
      ...(limit !== undefined && { limit }),
      signal: context.signal,
    });
    await context.output.line(given.json ? JSON.stringify({ redriven }) : String(redriven));
  });
}

async function remove(given: Given, context: Context): Promise<number> {
  if (!given.flag("yes"))
    throw new UsageError("delete forgets the subscription and its dead letters: say --yes if that is meant");
  return await withSubscription(given, context, async (subscription) => {
    await subscription.delete();
    await context.output.line(given.json ? JSON.stringify({ deleted: subscription.name }) : "deleted");
  });
}

/** Exits with 1 if there is no such subscription. */
async function withSubscription(
  given: Given,
  context: Context,
  what: (subscription: ReturnType<Topic<unknown>["subscription"]>) => Promise<void>,
): Promise<number> {
  expectArguments(given.rest, ["the topic", "the subscription"]);
  const name = given.rest[1] as string;
  await using engine = await open(given.url, context);
  const subscription = topicIn(engine, given).subscription(name);
  if ((await subscription.info()) === undefined) {
    context.output.note(`${given.rest[0]} has no subscription ${name}`);
    return exitCodes.found;
  }
  await what(subscription);
  return exitCodes.good;
}

function describe({ data, ...event }: TopicEvent<unknown>): unknown {
  return { ...event, data: toJson(data) };
}

function show({ offset, time, type, data }: TopicEvent<unknown>): string {
  return `${offset}\t${new Date(time).toISOString()}\t${type}\t${JSON.stringify(toJson(data))}`;
}
