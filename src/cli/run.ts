import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isAshlarError } from "../core/index.ts";
import { type Command, type Context, exitCodes, isInterruption, UsageError } from "./command.ts";

/** The commands; what each needs is loaded when it runs. */
const commands: Readonly<Record<string, { readonly summary: string; load(): Promise<Command> }>> = {
  verify: {
    summary: "test whether a store keeps the contract",
    load: async () => (await import("./verify.ts")).verifyCommand,
  },
  doctor: {
    summary: "look at this machine, and at a store's speed, clock and durability",
    load: async () => (await import("./doctor.ts")).doctorCommand,
  },
  kv: { summary: "get, set, rm, ls, watch: keys and values", load: async () => (await import("./kv.ts")).kvCommand },
  log: { summary: "read, tail: the records of a topic", load: async () => (await import("./log.ts")).logCommand },
  queue: {
    summary: "list, inspect, add, pause, redrive, purge …: queues of jobs",
    load: async () => (await import("./queue.ts")).queueCommand,
  },
  topic: {
    summary: "list, inspect, tail, publish, reset …: topics and their subscriptions",
    load: async () => (await import("./topic.ts")).topicCommand,
  },
  stream: {
    summary: "list, inspect, tail, append, reset …: streams and their groups",
    load: async () => (await import("./stream.ts")).streamCommand,
  },
  events: {
    summary: "list, inspect, read, tail, append …: event stores and their projections",
    load: async () => (await import("./events.ts")).eventsCommand,
  },
  workflow: {
    summary: "list, show, signal, query, update, cancel, reset …: runs of workflows",
    load: async () => (await import("./workflow.ts")).workflowCommand,
  },
  schedule: {
    summary: "list, show, next, history, pause, run, backfill …: schedules",
    load: async () => (await import("./schedule.ts")).scheduleCommand,
  },
  simulate: {
    summary: "run a system's scenarios with many seeds, and shrink what fails",
    load: async () => (await import("./simulate.ts")).simulateCommand,
  },
  check: {
    summary: "judge a recorded history: linearizability, isolation, sessions, deliveries",
    load: async () => (await import("./check.ts")).checkCommand,
  },
};

const help = `Usage: ashlar <command> …

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`)
  .join("\n")}

A store is named by its URL: memory:, sqlite:./data.db, postgres://user@host/database.
It is the first argument of a command, or --url, or ASHLAR_URL.

  --help      more about a command: ashlar kv --help
  --json      JSON instead of text
  --version   the version of Ashlar

Exit codes: 0 all is well · 1 it is not so: a key is absent, a promise not kept · 2 the command line
makes no sense · 3 the store could not be reached, or failed · 130 interrupted.
ASHLAR_DEBUG=1 shows the stack of an error.`;

/** Runs a command line and returns the exit code. Errors become one line. */
export async function run(args: readonly string[], context: Context): Promise<number> {
  try {
    return await dispatch(args, context);
  } catch (error) {
    if (isInterruption(error, context)) return exitCodes.interrupted;
    context.output.note(
      args.includes("--json") ? JSON.stringify({ error: describe(error) }) : `ashlar: ${describe(error).message}`,
    );
    if (context.environment["ASHLAR_DEBUG"]) context.output.note(String(error instanceof Error ? error.stack : error));
    return exitCodeOf(error);
  }
}

async function dispatch([name, ...args]: readonly string[], context: Context): Promise<number> {
  if (name === undefined) throw new UsageError("no command; see ashlar --help");
  if (name === "--version") return await say(version(), context);
  if (name === "--help" || name === "-h" || name === "help") return await say(help, context);
  const command = Object.hasOwn(commands, name) ? await commands[name]?.load() : undefined;
  if (!command)
    throw new UsageError(
      `given ${JSON.stringify(name)}; allowed: ${Object.keys(commands).join(", ")}; see ashlar --help`,
    );
  if (isAskedForHelp(args)) return await say(command.help, context);
  return await command.run(args, context);
}

function isAskedForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? args.length : end).some((arg) => arg === "--help" || arg === "-h");
}

async function say(text: string, { output }: Context): Promise<number> {
  await output.line(text);
  return exitCodes.good;
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"),
  );
  return manifest.version;
}

function exitCodeOf(error: unknown): number {
  const misused =
    error instanceof UsageError || isAshlarError(error, "INVALID_ARGUMENT") || isAshlarError(error, "LIMIT");
  return misused ? exitCodes.usage : exitCodes.unreachable;
}

/** One line, without the stack. */
function describe(error: unknown): { code: string; message: string } {
  const message = (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, " · ");
  if (error instanceof UsageError) return { code: "USAGE", message };
  if (isAshlarError(error)) return { code: error.code, message };
  return { code: "FAILED", message };
}
