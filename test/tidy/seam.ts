import { isShipped, type Problem, type Project } from "./project.ts";
import { lineAt } from "./source.ts";

const clock = "take the clock from the runtime: runtime.clock";
const random = "take it from the runtime: runtime.random";
const timers = "take timers from the runtime: runtime.timers";

const banned: readonly { readonly code: RegExp; readonly remedy: string }[] = [
  { code: /\bDate\.now\b/g, remedy: clock },
  { code: /\bDate\(\s*\)/g, remedy: clock },
  { code: /\bnew\s+Date\b(?!\s*\()/g, remedy: clock },
  { code: /\bperformance\.(now|timeOrigin)\b/g, remedy: clock },
  { code: /\bprocess\.(hrtime|uptime)\b/g, remedy: clock },
  { code: /\bMath\.random\b/g, remedy: random },
  { code: /\b(randomUUID|randomBytes|randomInt|randomFill|randomFillSync|getRandomValues)\b/g, remedy: random },
  { code: /(?<![.\w#])(setTimeout|setInterval|setImmediate)\b/g, remedy: timers },
  { code: /\bglobalThis\.(setTimeout|setInterval|setImmediate|performance|crypto|Date)\b/g, remedy: timers },
  { code: /\bAbortSignal\.timeout\b/g, remedy: timers },
];

const bannedModules = new Map([
  ["node:timers", timers],
  ["node:timers/promises", timers],
  ["node:perf_hooks", clock],
]);

/** The runtime itself, what drives simulations from outside, and what takes the place of the globals in one. */
function isAtTheSeam(file: string): boolean {
  return (
    file.startsWith("src/cli/") ||
    file.startsWith("src/simulation/globals/") ||
    file === "src/core/runtime.ts" ||
    file === "src/simulation/real-world.ts"
  );
}

/** Time, chance and timers come from the runtime alone, so that a simulation controls them. */
export function seam({ sources }: Project): Problem[] {
  const problems: Problem[] = [];
  for (const { path: file, code, imports } of sources.values()) {
    if (!isShipped(file) || isAtTheSeam(file)) continue;
    for (const { code: pattern, remedy } of banned) {
      for (const match of code.matchAll(pattern)) {
        problems.push({ file, line: lineAt(code, match.index), what: `${match[0]} in shipped code`, remedy });
      }
    }
    for (const { specifier, line } of imports) {
      const remedy = bannedModules.get(specifier);
      if (remedy !== undefined) problems.push({ file, line, what: `import of ${specifier}`, remedy });
    }
  }
  return problems;
}
