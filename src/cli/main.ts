#!/usr/bin/env node
import { exitCodes } from "./command.ts";
import { createOutput } from "./output.ts";
import { run } from "./run.ts";

const interruption = new AbortController();
const interrupt = (): void => {
  // A second one ends the process at once.
  process.off("SIGINT", interrupt);
  process.off("SIGTERM", interrupt);
  interruption.abort(new Error("interrupted"));
};
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

let hasReader = true;
const output = createOutput(process.stdout, process.stderr, () => {
  hasReader = false;
  interrupt();
});
const code = await run(process.argv.slice(2), { output, environment: process.env, signal: interruption.signal });
// Who has read enough, as `head` does, has no complaint.
process.exitCode = hasReader ? code : exitCodes.good;
process.off("SIGINT", interrupt);
process.off("SIGTERM", interrupt);
