import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cycles } from "./cycles.ts";
import { errorRows, errorsPage } from "./errors-page.ts";
import { layers } from "./layers.ts";
import { blockPages, links } from "./markdown.ts";
import { dependencies, exportsMap, lockfile } from "./package-map.ts";
import { createProject, type Manifest, type Problem, type Rule, showProblem } from "./project.ts";
import { seam } from "./seam.ts";
import { sizesAndNames } from "./sizes-and-names.ts";
import { words } from "./words.ts";

// Each rule is shown what it forbids and what it allows: a rule that finds nothing must be one that could.

const slash = "/";

test("a file over 450 lines and a grab-bag are found", () => {
  finds(sizesAndNames, { "src/a/long.ts": "x;\n".repeat(451) }, ["src/a/long.ts:451 451 lines"]);
  finds(sizesAndNames, { "src/a/utils.ts": "", "test/helpers/x.ts": "" }, ['utils.ts:1 "utils.ts"', "helpers"]);
  finds(sizesAndNames, { "src/a/fits.ts": "x;\n".repeat(450), "src/a/commons.ts": "" }, []);
});

test("each way round the runtime seam is found, in shipped code only", () => {
  const ways = [
    "Date.now()",
    "new Date()",
    "new Date",
    "performance.now()",
    "process.hrtime.bigint()",
    "Math.random()",
    "crypto.randomUUID()",
    "randomBytes(8)",
    "setTimeout(f, 1)",
    "setInterval(f, 1)",
    "setImmediate(f)",
    "globalThis.setTimeout(f, 1)",
    "AbortSignal.timeout(5)",
    'import { setTimeout as pause } from "node:timers/promises"',
  ];
  for (const way of ways) {
    const text = `\n${way};\n`;
    assert.notEqual(seam(project({ "src/queue/index.ts": text })).length, 0, way);
    finds(seam, { "src/core/runtime.ts": text, "src/cli/main.ts": text, "src/queue/index.test.ts": text }, []);
  }
  finds(seam, { "src/a/index.ts": "\nsetTimeout(f, 1)" }, ["src/a/index.ts:2 setTimeout in shipped code"]);
  finds(seam, { "src/a/index.ts": "new Date(0); runtime.setTimeout(1); dateNow(); // Date.now()" }, []);
});

test("imports against the layers are found", () => {
  const files = {
    "src/core/index.ts": "",
    "src/engine/index.ts": "",
    "src/engine/driver.ts": "",
    "src/engine/layers/log.ts": "",
    "src/engine/memory/index.ts": "",
    "src/engine/sqlite/index.ts": "",
    "src/engine/conformance/index.ts": "",
    "src/resilience/index.ts": "",
    "src/messaging/queue/index.ts": "",
    "src/service/index.ts": "",
    "src/cli/main.ts": "",
    "src/check/index.ts": "",
  };
  const forbidden = {
    "src/core/a.ts": ["../engine/index.ts"],
    "src/engine/a.ts": ["../resilience/index.ts", "./memory/index.ts", "./conformance/index.ts"],
    "src/engine/layers/a.ts": ["../sqlite/index.ts"],
    "src/engine/memory/a.ts": ["../sqlite/index.ts", "../../messaging/queue/index.ts", "../conformance/index.ts"],
    "src/engine/conformance/a.ts": ["../memory/index.ts"],
    "src/resilience/a.ts": ["../messaging/queue/index.ts"],
    "src/messaging/queue/a.ts": ["../../engine/memory/index.ts", "../../service/index.ts", "../../check/index.ts"],
    "src/service/a.ts": ["../cli/main.ts", "../engine/conformance/index.ts"],
    "src/index.ts": ["./engine/sqlite/index.ts", "./messaging/queue/index.ts"],
  };
  for (const [path, targets] of Object.entries(forbidden)) {
    for (const target of targets) {
      for (const text of [
        `import { a } from "${target}";`,
        `import type { A } from "${target}";`,
        `await import("${target}")`,
      ]) {
        assert.equal(layers(project({ ...files, [path]: text })).length, 1, `${path}: ${text}`);
      }
    }
  }
  finds(
    layers,
    {
      ...files,
      "src/engine/layers/b.ts": 'import "../driver.ts"; import "../../core/index.ts";',
      "src/engine/memory/b.ts": 'import "../driver.ts"; import "../layers/log.ts"; import "../../core/index.ts";',
      "src/engine/conformance/b.ts": 'import "../driver.ts"; import "../../check/index.ts";',
      "src/index.ts": 'import "./core/index.ts"; import "./engine/driver.ts";',
      "src/messaging/queue/b.ts": 'import "../../engine/index.ts"; import "../../resilience/index.ts";',
      "src/service/b.ts": 'import "../messaging/queue/index.ts";',
      "src/cli/b.ts":
        'import "../engine/conformance/index.ts"; import "../engine/memory/index.ts"; import "../index.ts";',
      "src/messaging/queue/b.test.ts": 'import "../../engine/memory/index.ts"; import "../../engine/driver.ts";',
    },
    [],
  );
});

test("only connect.ts opens engines, and only lazily", () => {
  const engine = { "src/engine/memory/index.ts": "" };
  finds(layers, { ...engine, "src/engine/connect.ts": 'await import("./memory/index.ts")' }, []);
  finds(layers, { ...engine, "src/engine/connect.ts": '\nimport "./memory/index.ts"' }, [
    "connect.ts:2 static import of the engine",
  ]);
  finds(layers, { ...engine, "src/engine/open.ts": 'await import("./memory/index.ts")' }, [
    "contract (src/engine) imports engine",
  ]);
});

test("entering a folder by another door than its index.ts is found", () => {
  const files = {
    "src/lock/index.ts": "",
    "src/lock/lease.ts": "",
    "src/core/index.ts": "",
    "src/core/keys.ts": "",
    "src/engine/driver.ts": "",
  };
  const inner = 'import "../lock/lease.ts"; import "../core/keys.ts"; import "../engine/driver.ts";';
  finds(layers, { ...files, "src/queue/index.ts": inner }, ["src/lock", "src/core", "src/engine"]);
  finds(layers, { ...files, "src/lock/b.ts": 'import "./lease.ts"; import "../core/index.ts";' }, []);
});

test("an import of a file that is not there, or of a test, is found", () => {
  finds(layers, { "src/core/a.ts": 'import "./b";' }, ["./b is no file of the project"]);
  finds(layers, { "src/core/a.ts": 'import "./b.test.ts";', "src/core/b.test.ts": "" }, ["shipped code imports"]);
});

test("cycles are found: between files, and between folders even of types", () => {
  finds(
    cycles,
    { "src/core/a.ts": 'import "./b.ts";', "src/core/b.ts": 'import "./c.ts";', "src/core/c.ts": 'import "./a.ts";' },
    ["src/core/a.ts → src/core/b.ts → src/core/c.ts → src/core/a.ts"],
  );
  finds(
    cycles,
    {
      "src/lock/index.ts": 'import type { A } from "../queue/index.ts";',
      "src/lock/inner.ts": "",
      "src/queue/index.ts": "",
      "src/queue/inner.ts": 'import type { B } from "../lock/inner.ts";',
    },
    ["src/lock → src/queue → src/lock"],
  );
  finds(cycles, { "src/core/a.ts": 'import type { B } from "./b.ts";', "src/core/b.ts": 'import "./a.ts";' }, []);
  finds(
    cycles,
    {
      "src/engine/connect.ts": 'await import("./memory/index.ts");',
      "src/engine/memory/index.ts": 'import "../driver.ts";',
      "src/engine/driver.ts": "",
    },
    [],
  );
});

test("an exports map that differs from the folders is found", () => {
  const entry = (path: string) => ({ types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` });
  const files = { "src/index.ts": "", "src/lock/index.ts": "", "src/messaging/queue/index.ts": "" };
  const exports = { ".": entry("index"), "./lock": entry("lock/index"), "./queue": entry("messaging/queue/index") };
  finds(exportsMap, files, [], { exports: { ...exports, "./package.json": "./package.json" } });
  finds(exportsMap, { ...files, "src/new/index.ts": "" }, ["src/new/index.ts has no entry"], { exports });
  finds(exportsMap, { "src/index.ts": "" }, ['exports["./lock"]: ./dist/lock/index.js has no source'], {
    exports: { ".": exports["."], "./lock": exports["./lock"] },
  });
  finds(exportsMap, files, ['exports["./locks"] leads to the folder lock'], {
    exports: { ".": exports["."], "./locks": exports["./lock"], "./queue": exports["./queue"] },
  });
  finds(exportsMap, files, ["types undefined do not belong"], { exports: { ...exports, ".": "./dist/index.js" } });
  const { types, default: code } = exports["."];
  finds(exportsMap, files, ["types is not the first"], { exports: { ...exports, ".": { default: code, types } } });
  finds(exportsMap, { ...files, "src/lock/index.test.ts": "", "src/cli/index.ts": "" }, [], { exports });
});

test("a command without source or without its first line is found", () => {
  const bin = { ashlar: "./dist/cli/main.js" };
  finds(exportsMap, {}, ["has no source src/cli/main.ts"], { bin });
  finds(exportsMap, { "src/cli/main.ts": "run();" }, ["without #!/usr/bin/env node"], { bin });
  finds(exportsMap, { "src/cli/main.ts": "#!/usr/bin/env node\nrun();" }, [], { bin });
});

test("undeclared, wrongly declared and unused packages are found", () => {
  const good: Manifest = {
    name: "ashlar",
    dependencies: { msgpackr: "1" },
    peerDependencies: { pg: "1" },
    peerDependenciesMeta: { pg: { optional: true } },
    devDependencies: { pg: "1", "fast-check": "1", "@scope/tool": "1" },
  };
  const files = {
    "src/core/codec.ts": 'import { pack } from "msgpackr/pack"; import "node:fs";',
    "src/engine/postgres/pool.ts": 'await import("pg");',
    "src/core/codec.test.ts": 'import "fast-check"; import "@scope/tool/sub"; import "msgpackr"; import pg from "pg";',
    "examples/a.ts": 'import "ashlar/engine";',
    "bench/a.ts": 'import "declared-there";',
  };
  finds(dependencies, files, [], good);
  finds(dependencies, { ...files, "src/a/b.ts": '\nimport "left-pad";' }, ["src/a/b.ts:2 import of left-pad"], good);
  finds(
    dependencies,
    { ...files, "src/a/b.ts": 'import pg from "pg";' },
    ["import of pg, which is no dependency"],
    good,
  );
  finds(dependencies, { ...files, "src/a/b.ts": 'import type { Pool } from "pg";' }, ["import of pg"], good);
  finds(dependencies, { ...files, "src/a/b.ts": 'import "ashlar";' }, ["import of ashlar"], good);
  finds(dependencies, { ...files, "src/a/b.ts": 'await import("redis");' }, ["lazy import of redis"], good);
  finds(dependencies, { ...files, "test/a.test.ts": 'import "vitest";' }, ["import of vitest"], good);
  finds(
    dependencies,
    {},
    ["dependencies: nothing in src uses msgpackr", "peerDependencies: nothing in src uses pg"],
    good,
  );
  finds(dependencies, files, ["the peer pg is not optional"], { ...good, peerDependenciesMeta: {} });
  finds(dependencies, files, ["no test can load the peer pg", "import of pg"], {
    ...good,
    devDependencies: { "fast-check": "1", "@scope/tool": "1" },
  });
});

test("a host in the lockfile is found", () => {
  assert.equal(lockfile('{\n  "resolved": "https://example.org/a.tgz"\n}')[0]?.line, 2);
  assert.deepEqual(lockfile('{ "version": "1.0.0", "integrity": "sha512-x" }'), []);
});

test("an error page that differs from the codes is found", () => {
  const codes = [
    { code: "LOST", class: Error, definite: false, retryable: true, meaning: "It is lost.", remedy: "Find it." },
  ];
  const page = ["# Errors", "", ...errorRows(codes)].join("\n");
  assert.match(page, /^\| `LOST` \| `Error` \| no \| yes \| It is lost\. \| Find it\. \|$/m);
  assert.deepEqual(errorsPage(codes, page), []);
  assert.equal(errorsPage(codes, "").length, 1);
  assert.equal(errorsPage([], page)[0]?.line, 3);
  assert.equal(errorsPage(codes, page.replace("| no |", "| yes |")).length, 2);
});

test("dead links and dead anchors are found", () => {
  const guide = "# Title\n\n## How it `works`: a *tour*\n\n## Twice\n\n## Twice\n";
  const good = `[a](docs/guide.md) [b](./docs/guide.md#how-it-works-a-tour) [c](docs) [d](#here) [e](https://example.org/x)
[f](docs/guide.md#twice-1 "title")

\`\`\`md
[no link](nowhere.md)
\`\`\`
and \`[no link](nowhere.md)\`

## Here
`;
  finds(links, { "README.md": good, "docs/guide.md": guide }, []);
  finds(links, { "README.md": "\n[a](nowhere.md)" }, ["README.md:2 nowhere.md leads nowhere"]);
  finds(links, { "README.md": "[a]: nowhere.md" }, ["leads nowhere"]);
  finds(links, { "README.md": '<a href="nowhere.md">' }, ["leads nowhere"]);
  finds(links, { "README.md": "[a](docs/guide.md#twice-2)", "docs/guide.md": guide }, ["no heading #twice-2"]);
  finds(links, { "README.md": "[a](#nowhere)" }, ["no heading #nowhere"]);
  finds(links, { "docs/a.md": "[a](/docs/a.md)" }, ["is absolute"]);
  finds(links, { "docs/a.md": "[a](../../outside.md)" }, ["leads nowhere"]);
});

test("a block's page with other headings is found", () => {
  const titles = ["What it is", "Guarantees", "What it does not promise", "Use", "Options"];
  const more = ["Failure behaviour", "How it works", "How it is checked", "Measured", "Coming from Redis"];
  const page = [...titles, ...more].map((title) => `## ${title}\n\n### Detail\n`).join("\n");
  finds(blockPages, { "docs/blocks/lock.md": page, "docs/blocks/README.md": "# Blocks", "docs/errors.md": "# E" }, []);
  finds(blockPages, { "docs/blocks/lock.md": page.replace("## Guarantees", "## Promises") }, [
    "lock.md:5 the headings",
  ]);
  finds(blockPages, { "docs/blocks/lock.md": `${page}\n## Notes\n` }, ["the headings"]);
  finds(blockPages, { "docs/blocks/lock.md": "# Lock\n" }, ['from "What it is" on']);
});

test("machine paths, hosts of registries and notes to self are found", () => {
  const planted = [
    `${slash}home/someone/x`,
    `"${slash}tmp/x"`,
    ["TO", "DO: later"].join(""),
    ["FIX", "ME"].join(""),
    ["registry", "npmjs.org"].join("."),
  ];
  for (const text of planted) assert.equal(words(project({ "docs/a.md": `\n${text}\n` }))[0]?.line, 2, text);
  finds(words, { "docs/a.md": "https://example.org/home/x ./tmp/x /var/lib/x a workshop todo" }, []);
});

test("Biome holds what is left to it: exports, enums, any, promises, console, the environment, names, lengths", (t) => {
  const planted = `export * from "./other.ts";
import { Thing } from "./thing";
export enum Color { red }
export default function (a: any): Thing {
  console.log(process.env["A"]);
  return setTimeout(a, 1) as unknown as Thing;
}
async function later(): Promise<void> {}
export async function forget(): Promise<void> {
  later();
}
export function long(): void {
${"  new Map();\n".repeat(90)}}
`;
  const config = fileURLToPath(new URL("../../biome.json", import.meta.url));
  const biome = fileURLToPath(new URL("../../node_modules/@biomejs/biome/bin/biome", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "ashlar-biome-"));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(config, join(folder, "biome.json"));
  mkdirSync(join(folder, "src/queue"), { recursive: true });
  writeFileSync(join(folder, "src/queue/NotKebab.ts"), planted);
  writeFileSync(join(folder, "src/queue/thing.ts"), "export interface Thing {}\n");
  const options = ["--vcs-enabled=false", "--reporter=github", "--max-diagnostics=none"];
  const { stdout, stderr } = spawnSync(process.execPath, [biome, "lint", ...options], {
    cwd: folder,
    encoding: "utf8",
  });
  const rules = new Set((stdout + stderr).match(/lint\/\w+\/\w+/g)?.map((rule) => rule.split("/")[2]));
  for (const rule of [
    "noReExportAll",
    "useImportExtensions",
    "useImportType",
    "noEnum",
    "noDefaultExport",
    "noExplicitAny",
    "noConsole",
    "noFloatingPromises",
    "noProcessEnv",
    "noRestrictedGlobals",
    "useFilenamingConvention",
    "noExcessiveLinesPerFunction",
  ]) {
    assert.ok(rules.has(rule), `${rule} is not among ${[...rules].join(", ")}:\n${stdout}${stderr}`);
  }
});

function project(files: Readonly<Record<string, string>>, manifest: Manifest = {}) {
  return createProject(new Map(Object.entries(files)), manifest);
}

/** Checks that the rule finds just these problems: each of `expected` is part of one that is shown, in any order. */
function finds(rule: Rule, files: Readonly<Record<string, string>>, expected: readonly string[], manifest?: Manifest) {
  const shown = rule(project(files, manifest)).map((problem: Problem) => showProblem(problem));
  assert.equal(shown.length, expected.length, `expected ${expected.length} problems, found:\n${shown.join("\n")}`);
  for (const part of expected)
    assert.ok(
      shown.some((text) => text.includes(part)),
      `${part} is not in:\n${shown.join("\n")}`,
    );
}
