import { readFileSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import {
  type Checker,
  delivery,
  type IsolationLevel,
  isolationLevels,
  linearizable,
  models,
  parseHistory,
  partitionLog,
  renderCheck,
  sessions,
  transactions,
} from "../check/index.ts";
import { type Command, exitCodes, UsageError } from "./command.ts";

const names = [
  ...Object.keys(models),
  "list-append",
  "rw-register",
  "sessions",
  "exactly-once",
  "at-least-once",
  "at-most-once",
  "partition-log",
];

const help = `Usage: ashlar check --model <model> <history.jsonl>

Judges a recorded history: could a correct system have given these answers? The history is a file of
JSON lines, or - for standard input; docs/check.md has its form.

Models    linearizability: ${Object.keys(models).slice(0, 5).join(", ")},
          ${Object.keys(models).slice(5).join(", ")}
          transactions: list-append, rw-register
          sessions: sessions
          messages: exactly-once, at-least-once, at-most-once, partition-log

Options   --model      what the system is to be
          --level      transactions: the isolation level that is promised (default strict-serializable)
          --order      messages: none (default), key or all
          --steps      how much to search before giving up
          --html file  write a drawing of what is wrong
          --json       the result as one JSON object

Exits with 0 if the history is possible, 1 if it is not, 3 if that could not be decided.`;

export const checkCommand: Command = {
  help,
  async run(args, { output }) {
    const { values, positionals } = parsed(args);
    const [file, ...rest] = positionals;
    if (file === undefined) throw new UsageError("the file with the history is missing; - reads standard input");
    if (rest.length > 0) throw new UsageError(`${JSON.stringify(rest[0])} is one argument too many`);
    const checker = toChecker(values);
    const history = parseHistory(file === "-" ? await text(process.stdin) : read(file));
    const result = checker.check(history);
    if (values.html !== undefined) writeFileSync(values.html, renderCheck(result, history));
    if (values.json) await output.line(JSON.stringify(result));
    else {
      await output.line(`${result.check}: ${result.verdict}`);
      await output.line(result.summary);
      for (const line of result.explanation) await output.line(`  ${line}`);
      if (values.html !== undefined) await output.line(`drawing: ${values.html}`);
    }
    return { ok: exitCodes.good, violated: exitCodes.found, unknown: exitCodes.unreachable }[result.verdict];
  },
};

function parsed(args: readonly string[]) {
  const string = { type: "string" } as const;
  const options = {
    model: string,
    level: string,
    order: string,
    steps: string,
    html: string,
    json: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function toChecker({ model, level, order, steps: given }: ReturnType<typeof parsed>["values"]): Checker {
  const steps = given === undefined ? {} : { steps: toSteps(given) };
  const known = model === undefined ? undefined : models[model];
  if (known) return linearizable(known, steps);
  switch (model) {
    case "list-append":
    case "rw-register":
      return transactions({ kind: model, ...(level !== undefined && { level: toLevel(level) }), ...steps });
    case "sessions":
      return sessions();
    case "exactly-once":
    case "at-least-once":
    case "at-most-once":
      return delivery({ promise: model, ...(order !== undefined && { order: order as "key" }) });
    case "partition-log":
      return partitionLog();
    default:
      throw new UsageError(`--model: given ${JSON.stringify(model)}; allowed: ${names.join(", ")}`);
  }
}

function toSteps(given: string): number {
  const steps = Number(given);
  if (/^\d+$/.test(given) && Number.isSafeInteger(steps) && steps > 0) return steps;
  throw new UsageError(`--steps: given ${JSON.stringify(given)}; allowed: a whole number of at least 1`);
}

function toLevel(given: string): IsolationLevel {
  const found = isolationLevels.find((level) => level === given);
  if (found) return found;
  throw new UsageError(`--level: given ${JSON.stringify(given)}; allowed: ${isolationLevels.join(", ")}`);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
