import {
  type Attributes,
  defineQuery,
  defineSignal,
  defineUpdate,
  type HistoryEvent,
  openWorkflows,
  type RunInfo,
  type RunStatus,
  type Workflows,
} from "../durable/workflow/index.ts";
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
import { parseValue, toJson } from "./json-values.ts";
import { columns } from "./names.ts";

const statuses: readonly RunStatus[] = ["open", "completed", "failed", "cancelled", "terminated", "stuck", "paused"];

const help = `Usage: ashlar workflow list      <url> [--status s] [--workflow w] [--attribute name=value] [--limit n]
       ashlar workflow show      <url> <id>
       ashlar workflow signal    <url> <id> <signal> [<value>]
       ashlar workflow query     <url> <id> <query> [<value>]
       ashlar workflow update    <url> <id> <update> [<value>]
       ashlar workflow cancel    <url> <id> [<reason>]
       ashlar workflow pause     <url> <id>
       ashlar workflow resume    <url> <id>
       ashlar workflow retry     <url> <id>
       ashlar workflow reset     <url> <id> --events n --yes
       ashlar workflow terminate <url> <id> [<reason>] --yes

Values    JSON, as for ashlar kv

Options   --group     of workflows (default: default)
          --status    ${statuses.join(", ")}
          --workflow  of this name
          --attribute with this attribute; the value as JSON, or a text
          --events    so many of its history are kept (reset)
          --limit     at most (list; default 100)
          --yes       does it: what is terminated takes nothing back, what is reset does again what came later
          --url       the store, instead of the first argument
          --json      one JSON object a line

show prints what a run was told, in order. retry is for runs that are stuck.`;

const options = {
  group: "string",
  status: "string",
  workflow: "string",
  attribute: "string",
  events: "string",
  limit: "string",
  yes: "boolean",
} as const;
type Given = Arguments<keyof typeof options>;

export const workflowCommand: Command = {
  help,
  async run([action, ...args], context) {
    const run = action !== undefined && Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (run === undefined)
      throw new UsageError(`workflow: given ${action ?? "nothing"}; allowed: ${Object.keys(actions).join(", ")}`);
    return await run(parse(args, options, context), context);
  },
};

const actions: Readonly<Record<string, (given: Given, context: Context) => Promise<number>>> = {
  list,
  show,
  signal,
  query,
  update,
  cancel,
  pause,
  resume,
  retry,
  reset,
  terminate,
};

async function list(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, []);
  const status = given.text("status");
  if (status !== undefined && !statuses.includes(status as RunStatus))
    throw new UsageError(`--status: given ${status}; allowed: ${statuses.join(", ")}`);
  const workflow = given.text("workflow");
  let left = given.count("limit", 1) ?? 100;
  return await withGroup(given, context, async (workflows) => {
    const rows: unknown[][] = [["run", "workflow", "status", "started", "ended"]];
    const chosen = {
      ...(status !== undefined && { status: status as RunStatus }),
      ...(workflow !== undefined && { workflow }),
      ...attributeOf(given),
    };
    for await (const run of workflows.list(chosen)) {
      if (given.json) await context.output.line(written(run));
      rows.push([run.id, run.workflow, run.status, time(run.started), run.ended === undefined ? "" : time(run.ended)]);
      if (--left === 0) break;
    }
    if (!given.json && rows.length > 1) for (const line of columns(rows)) await context.output.line(line);
    return exitCodes.good;
  });
}

/** `name=value`, where the value is JSON if it can be. */
function attributeOf(given: Given): { readonly attributes?: Attributes } {
  const text = given.text("attribute");
  if (text === undefined) return {};
  const [name = "", ...rest] = text.split("=");
  const value = rest.join("=");
  if (name === "" || rest.length === 0) throw new UsageError(`--attribute: given ${text}; allowed: name=value`);
  const isPlain = /^(-?\d+(\.\d+)?|true|false)$/.test(value);
  return { attributes: { [name]: isPlain ? (JSON.parse(value) as number | boolean) : value } };
}

async function show(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run"]);
  return await withRun(given, context, async (workflows, info) => {
    const history = await workflows.run(info.id).history();
    if (given.json) {
      await context.output.line(written({ ...info, history }));
      return;
    }
    await context.output.line(`${info.workflow} ${info.id}: ${info.status}`);
    await context.output.line(`started ${time(info.started)}${info.ended ? `, ended ${time(info.ended)}` : ""}`);
    if (info.input !== undefined) await context.output.line(`input   ${written(info.input)}`);
    for (const line of columns(history.map(describe))) await context.output.line(`  ${line}`);
    if (info.result !== undefined) await context.output.line(`result  ${written(info.result)}`);
    if (info.error) await context.output.line(`error   ${info.error.name}: ${info.error.message}`);
  });
}

function describe({ seq, kind, name, at, value, error }: HistoryEvent): unknown[] {
  const what = error ? `failed: ${error.message}` : value === undefined ? "" : written(value);
  return [seq < 0 ? "" : seq, time(at), kind, name, what];
}

async function signal(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run", "the signal", "the value"], 1);
  const [, name = "", value] = given.rest;
  const payload = value === undefined ? undefined : parseValue(value, "value");
  return await withRun(given, context, async (workflows, { id }) => {
    await workflows.run(id).signal(defineSignal<unknown>(name), payload);
    await tell(given, context, { sent: name }, "sent");
  });
}

async function query(given: Given, context: Context): Promise<number> {
  const { name, value } = asked(given, "the query");
  return await withRun(given, context, async (workflows, { id }) => {
    const answer = await workflows.run(id).query(defineQuery(name), value);
    await context.output.line(answer === undefined ? "" : written(answer));
  });
}

async function update(given: Given, context: Context): Promise<number> {
  const { name, value } = asked(given, "the update");
  return await withRun(given, context, async (workflows, { id }) => {
    const answer = await workflows.run(id).update(defineUpdate(name), value, { signal: context.signal });
    await context.output.line(answer === undefined ? "" : written(answer));
  });
}

function asked(given: Given, what: string): { readonly name: string; readonly value: unknown } {
  expectArguments(given.rest, ["the id of the run", what, "the value"], 1);
  const [, name = "", value] = given.rest;
  return { name, value: value === undefined ? undefined : parseValue(value, "value") };
}

async function cancel(given: Given, context: Context): Promise<number> {
  const reason = reasonOf(given);
  return await withRun(given, context, async (workflows, { id }) => {
    await workflows.run(id).cancel(reason);
    await tell(given, context, { asked: true }, "asked to end");
  });
}

async function pause(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run"]);
  return await withRun(given, context, async (workflows, { id }) => {
    const paused = await workflows.run(id).pause();
    await tell(given, context, { paused }, paused ? "paused" : "it is not open");
  });
}

async function resume(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run"]);
  return await withRun(given, context, async (workflows, { id }) => {
    const resumed = await workflows.run(id).resume();
    await tell(given, context, { resumed }, resumed ? "resumed" : "it is not paused");
  });
}

async function reset(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run"]);
  const events = given.count("events", 0);
  if (events === undefined)
    throw new UsageError("--events: given nothing; allowed: how many events of its history are kept");
  if (!given.flag("yes")) throw new UsageError("reset: what came later is done again; say --yes to do it");
  return await withRun(given, context, async (workflows, { id }) => {
    await workflows.run(id).reset(events);
    await tell(given, context, { events }, `taken back to ${events} events`);
  });
}

async function retry(given: Given, context: Context): Promise<number> {
  expectArguments(given.rest, ["the id of the run"]);
  return await withRun(given, context, async (workflows, { id }) => {
    const retried = await workflows.run(id).retry();
    await tell(given, context, { retried }, retried ? "tried again" : "it is not stuck");
  });
}

async function terminate(given: Given, context: Context): Promise<number> {
  const reason = reasonOf(given);
  if (!given.flag("yes")) throw new UsageError("terminate: it takes nothing back; say --yes to do it");
  return await withRun(given, context, async (workflows, { id }) => {
    const terminated = await workflows.run(id).terminate(reason);
    await tell(given, context, { terminated }, terminated ? "terminated" : "it had ended");
  });
}

function reasonOf(given: Given): string | undefined {
  expectArguments(given.rest, ["the id of the run", "the reason"], 1);
  return given.rest[1];
}

async function tell({ json }: Given, context: Context, fields: object, text: string): Promise<void> {
  await context.output.line(json ? JSON.stringify(fields) : text);
}

async function withRun(
  given: Given,
  context: Context,
  act: (workflows: Workflows, info: RunInfo) => Promise<void>,
): Promise<number> {
  const id = given.rest[0] as string;
  return await withGroup(given, context, async (workflows) => {
    const info = await workflows.run(id).info();
    if (!info) {
      await context.output.line(given.json ? "null" : `there is no run ${JSON.stringify(id)}`);
      return exitCodes.found;
    }
    await act(workflows, info);
    return exitCodes.good;
  });
}

async function withGroup(
  given: Given,
  context: Context,
  act: (workflows: Workflows) => Promise<number>,
): Promise<number> {
  await using engine = await open(given.url, context);
  return await act(await openWorkflows(engine, given.text("group") ?? "default"));
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function written(value: unknown): string {
  return JSON.stringify(toJson(value));
}
