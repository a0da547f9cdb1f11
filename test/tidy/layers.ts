import { posix } from "node:path";
import { isShipped, type Problem, type Project } from "./project.ts";
import type { Import } from "./source.ts";

/** From low to high; see the layers in ARCHITECTURE.md. */
export type Layer =
  | "core"
  | "contract"
  | "engine"
  | "root"
  | "conformance"
  | "check"
  | "simulation"
  | "resilience"
  | "block"
  | "service"
  | "cli";

const mayImport: Readonly<Record<Layer, readonly Layer[]>> = {
  core: [],
  contract: ["core"],
  engine: ["core", "contract"],
  root: ["core", "contract"],
  conformance: ["core", "contract", "check"],
  check: ["core", "contract"],
  simulation: ["core", "contract", "check"],
  resilience: ["core", "contract"],
  block: ["core", "contract", "resilience", "block"],
  service: ["core", "contract", "resilience", "block", "service"],
  cli: ["core", "contract", "engine", "root", "conformance", "check", "simulation", "resilience", "block", "service"],
};

const services = new Set(["service", "gateway", "telemetry", "security"]);
const proofs = new Set(["simulation", "chaos"]);

export function layerOf(file: string): Layer {
  const [, area = "", folder = ""] = file.split("/");
  if (area.endsWith(".ts")) return "root";
  if (area === "core" || area === "check" || area === "resilience" || area === "cli") return area;
  if (area === "engine") {
    if (folder.endsWith(".ts") || folder === "layers") return "contract";
    return folder === "conformance" ? "conformance" : "engine";
  }
  if (services.has(area)) return "service";
  return proofs.has(area) ? "simulation" : "block";
}

/**
 * The folder that this file belongs to as seen from outside: the innermost one with an `index.ts`, where core and the
 * contract are one folder each.
 */
export function unitOf(file: string, { files }: Project): string {
  const layer = layerOf(file);
  if (layer === "core") return "src/core";
  if (layer === "contract") return "src/engine";
  for (let folder = posix.dirname(file); folder !== "src" && folder !== "."; folder = posix.dirname(folder)) {
    if (files.has(`${folder}/index.ts`)) return folder;
  }
  return posix.dirname(file).split("/").slice(0, 2).join("/");
}

/** Imports point downwards, and enter another folder through its `index.ts`. */
export function layers(project: Project): Problem[] {
  return [...project.sources.values()]
    .filter(({ path }) => isShipped(path))
    .flatMap(({ path, imports }) => imports.flatMap((each) => judge(path, each, project) ?? []));
}

function judge(file: string, { target, line, kind, specifier }: Import, project: Project): Problem | undefined {
  if (target === undefined) return undefined;
  const problem = (what: string, remedy: string): Problem => ({ file, line, what, remedy });
  if (!project.files.has(target)) return problem(`${specifier} is no file of the project`, "name the .ts file itself");
  if (!isShipped(target)) return problem(`shipped code imports ${target}`, "move what it needs into src");
  const [from, to] = [unitOf(file, project), unitOf(target, project)];
  if (from === to) return undefined;
  const [layer, below] = [layerOf(file), layerOf(target)];
  // The simulated server of the engine is the reference engine's store.
  const simulatesEngine = file === "src/simulation/engine/server.ts" && to === "src/engine/memory";
  const opensEngines = file === "src/engine/connect.ts" && below === "engine";
  if (opensEngines && kind !== "dynamic") {
    return problem(`static import of the engine ${to}`, "import engines lazily: await import(…) when one is opened");
  }
  if (!opensEngines && !simulatesEngine && !mayImport[layer].includes(below)) {
    return problem(
      `${layer} (${from}) imports ${below} (${to})`,
      `${layer} may import ${mayImport[layer].join(", ") || "nothing of ours"}; turn the dependency round or move the code down`,
    );
  }
  const seesContractFiles = to === "src/engine" && (layer === "engine" || layer === "conformance" || layer === "root");
  if (target === `${to}/index.ts` || seesContractFiles) return undefined;
  return problem(`import of an inner file of ${to}`, `import ${to}/index.ts, and export there what others may use`);
}
