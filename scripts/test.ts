import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Runs the tests that lie in the given files and folders (default: src and test). Options go to node's test runner:
 * `npm test -- src/engine/sqlite --test-name-pattern="lost lease"`. Finding no test file is a failure.
 */
const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith("-"));
const paths = args.filter((arg) => !arg.startsWith("-"));

const files = (paths.length === 0 ? ["src", "test"] : paths).flatMap((path) => {
  if (!existsSync(path)) return [];
  return statSync(path).isDirectory() ? globSync(join(path, "**/*.test.ts")).sort() : [path];
});
if (files.length === 0) {
  console.error(`no test files (*.test.ts) in ${paths.join(", ") || "src, test"}`);
  process.exit(1);
}

// One file hangs for four minutes at most, two run at a time: the tests start servers and write to the disk for real.
const runner = ["--test", "--test-concurrency=2", "--test-timeout=240000", ...options, ...files];
const child = spawn(process.execPath, runner, { stdio: "inherit" });
const [code] = await once(child, "exit");
process.exitCode = code ?? 1;
