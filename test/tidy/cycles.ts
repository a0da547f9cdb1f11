import { unitOf } from "./layers.ts";
import { isShipped, type Problem, type Project } from "./project.ts";

type Graph = Map<string, Set<string>>;

/** No file needs itself through others, and no folder another that needs it back, be it only for types. */
export function cycles(project: Project): Problem[] {
  const files: Graph = new Map();
  const units: Graph = new Map();
  for (const { path, imports } of project.sources.values()) {
    if (!isShipped(path)) continue;
    const unit = unitOf(path, project);
    for (const { target, kind } of imports) {
      if (target === undefined || !isShipped(target)) continue;
      const other = unitOf(target, project);
      // Types within a folder may refer to one another; a lazy import is how connect.ts reaches what stands above it.
      if (kind !== "type" || other !== unit) link(files, path, target);
      if (kind !== "dynamic" && other !== unit) link(units, unit, other);
    }
  }
  const remedy = "move what both need into a third place below, or pass it in";
  const show = (cycle: string[]): Problem => ({
    file: cycle[0] as string,
    line: 1,
    what: `import cycle: ${cycle.join(" → ")}`,
    remedy,
  });
  return [...findCycles(files), ...findCycles(units)].map(show);
}

function link(graph: Graph, from: string, to: string): void {
  const targets = graph.get(from) ?? new Set();
  graph.set(from, targets.add(to));
}

/** One cycle, first node repeated at its end, for each way back that a depth-first walk meets. */
function findCycles(graph: Graph): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (node: string): void => {
    const at = path.indexOf(node);
    if (at !== -1) found.push([...path.slice(at), node]);
    if (at !== -1 || done.has(node)) return;
    path.push(node);
    for (const next of graph.get(node) ?? []) visit(next);
    path.pop();
    done.add(node);
  };
  for (const node of graph.keys()) visit(node);
  return found;
}
