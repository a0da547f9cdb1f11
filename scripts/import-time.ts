import { execFileSync } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";

/** How long a fresh process takes to import the module, in milliseconds: the median of several processes. */
export function importTime(module: URL, processes = 9): number {
  const program = `const start = performance.now(); await import(${JSON.stringify(module.href)}); console.log(performance.now() - start);`;
  const times = Array.from({ length: processes }, () =>
    Number(execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" })),
  ).sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] as number;
}

if (import.meta.main) {
  const given = process.argv.slice(2);
  const modules =
    given.length > 0
      ? given.map((path) => pathToFileURL(path))
      : ["index.js", "engine/memory/index.js"].map((path) => new URL(`../dist/${path}`, import.meta.url));
  for (const module of modules) console.log(`${importTime(module).toFixed(1)} ms  ${fileURLToPath(module)}`);
}
