#!/usr/bin/env node
import { createOutput } from "./output.ts";
import { run } from "./run.ts";

const interruption = new AbortController();
const interrupt = (): void => {
  // A second one ends the process at once.
  process.removeAllListeners("SIGINT");
  process.removeAllListeners("SIGTERM");
  interruption.abort(new Error("interrupted"));
};
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

const output = createOutput(process.stdout, process.stderr, interrupt);
process.exitCode = await run(process.argv.slice(2), { output, environment: process.env, signal: interruption.signal });
process.off("SIGINT", interrupt);
process.off("SIGTERM", interrupt);
