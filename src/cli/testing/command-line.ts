import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Output } from "../output.ts";
import { run } from "../run.ts";

const main = join(import.meta.dirname, "../main.ts");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line within this process, which is faster. */
export async function runHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const texts = { stdout: "", stderr: "" };
  const output: Output = {
    line: async (text) => {
      texts.stdout += `${text}\n`;
    },
    note: (text) => {
      texts.stderr += `${text}\n`;
    },
    progress: () => {},
  };
  const code = await run(args, { output, environment, signal: new AbortController().signal });
  return { code, ...texts };
}

/** Runs `ashlar` as a process of its own to its end. */
export async function ashlar(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const child = start(args, environment);
  const texts = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts[0] += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts[1] += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: texts[0] as string, stderr: texts[1] as string };
}

/** An `ashlar` that goes on until it is interrupted. */
export interface Running extends AsyncDisposable {
  /** The next line of its result. */
  line(): Promise<string>;
  /** Interrupts it, as Ctrl-C does, and resolves with its exit code. */
  interrupt(): Promise<number | null>;
  /** Reads no more, as `head` does, and resolves with its exit code. */
  hangUp(): Promise<number | null>;
}

export function startAshlar(args: readonly string[]): Running {
  const child = start(args, {});
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const closed = once(child, "close") as Promise<[number | null]>;
  return {
    async line() {
      const { done, value } = await lines.next();
      if (done) throw new Error(`it ended with ${(await closed)[0]} instead of writing a line`);
      return value;
    },
    async interrupt() {
      child.kill("SIGINT");
      return (await closed)[0];
    },
    async hangUp() {
      child.stdout.destroy();
      return (await closed)[0];
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await closed;
    },
  };
}

function start(args: readonly string[], environment: Readonly<Record<string, string>>): ChildProcessWithoutNullStreams {
  const { ASHLAR_URL: _, ASHLAR_DEBUG: __, ...inherited } = process.env;
  const child = spawn(process.execPath, [main, ...args], { env: { ...inherited, ...environment }, timeout: 60_000 });
  child.stdin.end();
  return child;
}
