import { isAshlarError } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import {
  createEventStore,
  type DomainEvent,
  type EventStore,
  type ExpectedVersion,
  type RecordedEvent,
} from "../messaging/event-store/index.ts";
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

const help = `Usage: ashlar events list     <url>
       ashlar events inspect  <url> <store>
       ashlar events read     <url> <store> <stream> [--from version] [--limit n]
       ashlar events tail     <url> <store> [--from position|end] [--limit n]
       ashlar events append   <url> <store> <stream> <event> [--expected version|none|any|exists]
       ashlar events truncate <url> <store> <stream> --before version --yes

Events    JSON with a type: '{"type": "deposited", "amount": 5}'. They are shown as they were appended: what a program's
          upcasters make of them, only it knows.

Options   --from      the first version (read) or position (tail; default end)
          --limit     events at most (read, tail)
          --expected  version at which the stream must be (append; default any)
          --before    events below this version are forgotten (truncate)
          --yes       does it: what is truncated is gone
          --url       the store, instead of the first argument
          --json      one JSON object a line

inspect shows the projections with position and lag. read exits with 1 if the stream has no events, append if the
stream is not at the version that was expected.`;

const options = { from: "string", limit: "string", expected: "string", before: "string", yes: "boolean" } as const;
type Given = Arguments<keyof typeof options>;

export const eventsCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`events: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  inspect,
  read,
  tail,
  append,
  truncate,
};

/** Without a state: the command line sees events only. */
function storeIn(engine: Engine, name: string): EventStore<null, DomainEvent, never> {
  return createEventStore<null, DomainEvent, never>(engine, name, { initial: () => null, evolve: () => null });
}

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  await using engine = await open(given.url, context);
  for await (const name of namesOf(engine, "event-store", context.signal)) {
    await using store = storeIn(engine, name);
    const events = await store.end();
    await context.output.line(given.json ? JSON.stringify({ store: name, events }) : `${name}\t${events} events`);
  }
  return exitCodes.good;
}

async function inspect(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the store"]);
  const name = given.rest[0] as string;
  await using engine = await open(given.url, context);
  await using store = storeIn(engine, name);
  const end = await store.end();
  const rows: unknown[][] = [["projection", "generation", "position", "lag", ""]];
  for await (const { projection, generation, position, building } of projectionsOf(engine.scope("event-store", name))) {
    const lag = Math.max(0, end - position);
    if (given.json) await context.output.line(JSON.stringify({ projection, generation, position, lag, building }));
    rows.push([projection, generation, position, lag, building ? "being built" : ""]);
  }
  if (given.json) return exitCodes.good;
  await context.output.line(`${end} events`);
  if (rows.length > 1) for (const line of columns(rows)) await context.output.line(line);
  return exitCodes.good;
}

interface Generations {
  readonly active?: { readonly number: number };
  readonly next?: { readonly number: number };
}

async function* projectionsOf(scope: Engine): AsyncGenerator<{
  readonly projection: string;
  readonly generation: number;
  readonly position: number;
  readonly building: boolean;
}> {
  for await (const { key, value } of scope.kv.list<Generations>({ prefix: ["projection"] })) {
    // Longer keys are the positions of generations.
    if (key.length !== 2) continue;
    const projection = String(key[1]);
    for (const [generation, building] of [
      [value.active?.number, false],
      [value.next?.number, true],
    ] as const) {
      if (generation === undefined) continue;
      const position = (await scope.kv.get<number>(["projection", projection, generation]))?.value ?? 0;
      yield { projection, generation, position, building };
    }
  }
}

async function read(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the store", "the stream"]);
  const [name, stream] = given.rest as [string, string];
  const from = given.count("from", 1);
  const limit = given.count("limit", 1);
  await using engine = await open(given.url, context);
  await using store = storeIn(engine, name);
  let found = false;
  for await (const event of store.read(stream, {
    ...(from !== undefined && { from }),
    ...(limit !== undefined && { limit }),
    signal: context.signal,
  })) {
    found = true;
    await context.output.line(given.json ? JSON.stringify(describe(event)) : show(event, event.version));
  }
  if (!found) context.output.note(`${stream} has no events${from === undefined ? "" : ` from version ${from} on`}`);
  return found ? exitCodes.good : exitCodes.found;
}

async function tail(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the store"]);
  let left = given.count("limit", 1) ?? Number.POSITIVE_INFINITY;
  const from = given.text("from") ?? "end";
  const position = from === "end" ? undefined : given.count("from", 0);
  await using engine = await open(given.url, context);
  await using store = storeIn(engine, given.rest[0] as string);
  const { signal } = context;
  try {
    for await (const event of store.all({ from: position ?? (await store.end()), live: true, signal })) {
      await context.output.line(
        given.json ? JSON.stringify({ position: event.position, ...describe(event) }) : show(event, event.position),
      );
      if (--left === 0) break;
    }
  } catch (error) {
    if (!isInterruption(error, context)) throw error;
  }
  return exitCodes.good;
}

async function append(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the store", "the stream", "the event"]);
  const [name, stream, text] = given.rest as [string, string, string];
  const event = parseValue(text, "event") as DomainEvent;
  const expected = toExpected(given);
  await using engine = await open(given.url, context);
  await using store = storeIn(engine, name);
  try {
    const { version, position } = await store.append(stream, [event], { expected });
    await context.output.line(given.json ? JSON.stringify({ version, position }) : String(version));
    return exitCodes.good;
  } catch (error) {
    if (!isAshlarError(error, "CONFLICT")) throw error;
    context.output.note(error.message);
    return exitCodes.found;
  }
}

function toExpected(given: Given): ExpectedVersion {
  const text = given.text("expected") ?? "any";
  if (text === "any" || text === "none" || text === "exists") return text;
  return given.count("expected", 0) as number;
}

async function truncate(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the store", "the stream"]);
  const [name, stream] = given.rest as [string, string];
  const before = given.count("before", 1);
  if (before === undefined) throw new UsageError("--before is missing: the first version that stays");
  if (!given.flag("yes")) throw new UsageError("truncate forgets events for good: say --yes if that is meant");
  await using engine = await open(given.url, context);
  await using store = storeIn(engine, name);
  await store.truncate(stream, { before, signal: context.signal });
  await context.output.line(given.json ? JSON.stringify({ truncated: stream, before }) : "truncated");
  return exitCodes.good;
}

function describe({ id, stream, version, type, data, metadata, time }: RecordedEvent): Record<string, unknown> {
  return { id, stream, version, type, time, data: toJson(data), metadata: toJson(metadata) };
}

function show({ stream, type, time, data }: RecordedEvent, place: number): string {
  return `${place}\t${new Date(time).toISOString()}\t${stream}\t${type}\t${JSON.stringify(toJson(data))}`;
}
