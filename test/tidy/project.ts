import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { parseSource, type Source } from "./source.ts";

/** What the rules look at: the project's text files by their path from its root, with `/` between the parts. */
export interface Project {
  readonly files: ReadonlyMap<string, string>;
  readonly manifest: Manifest;
  /** The TypeScript files, parsed. */
  readonly sources: ReadonlyMap<string, Source>;
}

/** The parts of package.json that rules read. */
export interface Manifest {
  readonly name?: string;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** A place that breaks a rule, and what to do about it. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly what: string;
  readonly remedy: string;
}

export type Rule = (project: Project) => Problem[];

export function loadProject(root: string): Project {
  const files = new Map<string, string>();
  for (const path of textFiles(root)) files.set(relative(root, path).split(sep).join("/"), readFileSync(path, "utf8"));
  return createProject(files, JSON.parse(files.get("package.json") ?? "{}"));
}

export function createProject(files: ReadonlyMap<string, string>, manifest: Manifest): Project {
  const sources = new Map<string, Source>();
  for (const [path, text] of files) if (path.endsWith(".ts")) sources.set(path, parseSource(path, text));
  return { files, manifest, sources };
}

/** Whether the file ships: a source that is neither test nor simulation. */
export function isShipped(path: string): boolean {
  return path.startsWith("src/") && !/\.(test|sim)\.ts$/.test(path) && !/\/(testing|simulations)\//.test(path);
}

export function showProblem({ file, line, what, remedy }: Problem): string {
  return `${file}:${line} ${what}\n    → ${remedy}`;
}

const skippedFolders = new Set(["node_modules", "dist", "coverage", ".git"]);
const textNames = /(\.(ts|js|mjs|json|md|sh|sql|ya?ml|css|html|txt)|^[^.]+|^\.(npmrc|gitignore|editorconfig))$/;

function* textFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!skippedFolders.has(entry.name)) yield* textFiles(path);
    } else if (entry.isFile() && textNames.test(entry.name)) yield path;
  }
}
