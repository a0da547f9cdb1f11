import { layerOf } from "./layers.ts";
import { isShipped, type Problem, type Project } from "./project.ts";

const file = "package.json";

/** Every public folder has an entry in `exports`, every entry a source, and the entry is named after the folder. */
export function exportsMap({ manifest, files }: Project): Problem[] {
  const problems: Problem[] = [];
  const problem = (what: string, remedy: string) => problems.push({ file, line: 1, what, remedy });
  const sourceOf = (target: string) => target.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts");
  const exported = new Set<string>();

  for (const [entry, targets] of Object.entries(manifest.exports ?? {})) {
    if (entry === "./package.json") continue;
    const { types, default: code } = typeof targets === "string" ? { types: undefined, default: targets } : targets;
    const source = sourceOf(code ?? "");
    if (!files.has(source))
      problem(`exports["${entry}"]: ${code} has no source ${source}`, "write it, or drop the entry");
    if (types !== code?.replace(/\.js$/, ".d.ts")) {
      problem(
        `exports["${entry}"]: types ${types} do not belong to ${code}`,
        "give both types and default, of one file",
      );
    }
    if (typeof targets !== "string" && Object.keys(targets)[0] !== "types") {
      problem(`exports["${entry}"]: types is not the first condition`, "put types first, as TypeScript asks");
    }
    const folder = source.replace(/^src\/?/, "").replace(/\/?index\.ts$/, "");
    const name = entry.replace(/^\.\/?/, "");
    if (folder !== name && !folder.endsWith(`/${name}`)) {
      problem(`exports["${entry}"] leads to the folder ${folder}`, "name an entry after its folder");
    }
    exported.add(source);
  }
  for (const path of files.keys()) {
    const isPublic = /^src\/.*\/?index\.ts$/.test(path) && isShipped(path) && layerOf(path) !== "cli";
    if (isPublic && path !== "src/engine/layers/index.ts" && !exported.has(path)) {
      problem(
        `${path} has no entry in exports`,
        "add one, with types and default; or rename an inner folder's index.ts",
      );
    }
  }
  for (const [command, target] of Object.entries(manifest.bin ?? {})) {
    const source = sourceOf(target);
    if (!files.has(source))
      problem(`bin["${command}"]: ${target} has no source ${source}`, "write it, or drop the entry");
    else if (!files.get(source)?.startsWith("#!/usr/bin/env node\n")) {
      problem(`${source} is a command without #!/usr/bin/env node`, "begin the file with that line");
    }
  }
  return problems;
}

/** What the sources import statically is a dependency, what they import lazily an optional peer; and nothing else is declared. */
export function dependencies({ sources, manifest }: Project): Problem[] {
  const problems: Problem[] = [];
  const declared = { needed: manifest.dependencies ?? {}, peer: manifest.peerDependencies ?? {} };
  const used = { needed: new Set<string>(), peer: new Set<string>() };

  for (const { path, imports } of sources.values()) {
    if (!/^(src|test|scripts|examples)\//.test(path)) continue; // Another package.json's affair.
    for (const { specifier, target, kind, line } of imports) {
      if (target !== undefined || kind === "url" || specifier.startsWith("node:")) continue;
      const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
      const problem = (what: string, remedy: string) => problems.push({ file: path, line, what, remedy });
      if (!isShipped(path)) {
        // Examples import the package by its name, as users do.
        if (name === manifest.name) continue;
        if (![manifest.devDependencies, declared.needed].some((names) => names && name in names)) {
          problem(`import of ${name}, which is not declared`, "add it to devDependencies, or do without");
        }
      } else if (kind === "dynamic") {
        used.peer.add(name);
        if (!(name in declared.peer)) problem(`lazy import of ${name}`, "declare it in peerDependencies, as optional");
      } else {
        used.needed.add(name);
        const type = kind === "type" ? "describe the part of it that is used by an interface of our own, or " : "";
        if (!(name in declared.needed)) {
          problem(
            `import of ${name}, which is no dependency`,
            `${type}import it lazily as an optional peer, or argue for a dependency`,
          );
        }
      }
    }
  }
  const unused = (where: string, names: Readonly<Record<string, string>>, use: Set<string>) => {
    for (const name of Object.keys(names)) {
      if (!use.has(name))
        problems.push({ file, line: 1, what: `${where}: nothing in src uses ${name}`, remedy: "drop it" });
    }
  };
  unused("dependencies", declared.needed, used.needed);
  unused("peerDependencies", declared.peer, used.peer);
  for (const name of Object.keys(declared.peer)) {
    const problem = (what: string, remedy: string) => problems.push({ file, line: 1, what, remedy });
    if (!manifest.peerDependenciesMeta?.[name]?.optional)
      problem(`the peer ${name} is not optional`, "say so in peerDependenciesMeta");
    if (!(name in (manifest.devDependencies ?? {})))
      problem(`no test can load the peer ${name}`, "add it to devDependencies");
  }
  return problems;
}

/** The lockfile names versions and hashes, never the host that they came from. */
export function lockfile(text: string): Problem[] {
  return text.split("\n").flatMap((row, i) =>
    /"resolved"\s*:\s*"(?!file:)/.test(row)
      ? [
          {
            file: "package-lock.json",
            line: i + 1,
            what: "a host in the lockfile",
            remedy: "npm install with the project's .npmrc",
          },
        ]
      : [],
  );
}
