import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { importTime } from "../scripts/import-time.ts";

// The package as a user gets it: built, packed, and unpacked into a project that has nothing else but its dependencies.

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  files: string[];
  exports: Record<string, unknown>;
  bin: Record<string, string>;
  dependencies?: Record<string, string>;
};
const entries = Object.keys(manifest.exports).map((entry) => entry.replace(/^\./, "ashlar"));

let folder: string;
let app: string;
let packed: string[];

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ashlar-package-"));
  const staged = join(folder, "staged");
  run(
    join(root, "node_modules/typescript/bin/tsc"),
    "-p",
    join(root, "tsconfig.build.json"),
    "--outDir",
    join(staged, "dist"),
  );
  for (const name of ["package.json", "README.md", "LICENSE", ...manifest.files]) {
    if (name !== "dist" && existsSync(join(root, name)))
      cpSync(join(root, name), join(staged, name), { recursive: true });
  }
  const options = ["--ignore-scripts", "--offline", "--json", "--pack-destination", folder];
  const [tarball] = JSON.parse(execute("npm", ["pack", ...options], staged)) as [
    { filename: string; files: { path: string }[] },
  ];
  packed = tarball.files.map(({ path }) => path).sort();

  app = join(folder, "app");
  const installed = join(app, "node_modules/ashlar");
  mkdirSync(installed, { recursive: true });
  execute("tar", ["-xzf", join(folder, tarball.filename), "-C", installed, "--strip-components=1"], folder);
  // Only the declared dependencies themselves: not what they would like to have (native addons), and no peer.
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    cpSync(join(root, "node_modules", name), join(app, "node_modules", name), { recursive: true, dereference: true });
  }
  writeFileSync(join(app, "package.json"), JSON.stringify({ type: "module", private: true }));
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("the package holds the build, its types, the docs, the licence and the changes, and no tests", () => {
  for (const name of [
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "package.json",
    "dist/index.js",
    "dist/index.d.ts",
    "docs/errors.md",
  ]) {
    assert.ok(packed.includes(name), `${name} is not in the package`);
  }
  const expected = /^(dist\/.*\.(js|d\.ts)|docs\/.*|LICENSE|README\.md|CHANGELOG\.md|package\.json)$/;
  assert.deepEqual(
    packed.filter((name) => !expected.test(name) || /\.(test|sim)\.|\/testing\//.test(name)),
    [],
  );
  const modules = packed.filter((name) => name.endsWith(".js"));
  assert.deepEqual(
    modules.filter((name) => !packed.includes(name.replace(/\.js$/, ".d.ts"))),
    [],
  );
});

test("every entry of the exports map can be imported", () => {
  const imports = entries.map((entry) =>
    entry.endsWith(".json") ? `await import("${entry}", { with: { type: "json" } });` : `await import("${entry}");`,
  );
  runInApp(imports.join("\n"));
});

test("every entry has types that need nothing but Node's", () => {
  const names = entries.filter((entry) => !entry.endsWith(".json"));
  writeFileSync(join(app, "app.ts"), names.map((entry, i) => `export * as entry${i} from "${entry}";`).join("\n"));
  mkdirSync(join(app, "node_modules/@types"), { recursive: true });
  symlinkSync(join(root, "node_modules/@types/node"), join(app, "node_modules/@types/node"));
  const options = {
    module: "nodenext",
    target: "es2024",
    lib: ["es2024", "esnext.disposable"],
    types: ["node"],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
  };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["app.ts"] }));
  run(join(root, "node_modules/typescript/bin/tsc"), "-p", app);
});

test("the root entry loads no engine, no optional dependency and no SQLite", (t) => {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    await import("ashlar");
    const builtins = process.moduleLoadList.filter((name) => name.startsWith("NativeModule ")).map((name) => name.slice(13));
    console.log(JSON.stringify({ loaded, builtins }));`;
  const { loaded, builtins } = JSON.parse(runInApp(program)) as { loaded: string[]; builtins: string[] };
  const files = loaded.filter((url) => url.startsWith("file:"));
  const modules = pathToFileURL(join(app, "node_modules/")).href;
  const packages = new Set(files.map((url) => url.slice(modules.length).split("/")[0]));
  const allowed = new Set(["ashlar", ...Object.keys(manifest.dependencies ?? {})]);
  assert.deepEqual(
    [...packages].filter((name) => !allowed.has(name as string)),
    [],
  );
  assert.ok(packages.has("ashlar"), "the hook sees what is loaded");
  const engines = entries.flatMap((entry) => /^ashlar\/engine\/(.+)/.exec(entry)?.[1] ?? []);
  assert.deepEqual(
    files.filter((url) => engines.some((name) => url.includes(`/dist/engine/${name}/`))),
    [],
  );
  assert.ok(!builtins.includes("sqlite") && !loaded.includes("node:sqlite"), "node:sqlite was loaded");
  const time = importTime(pathToFileURL(join(app, "node_modules/ashlar/dist/index.js")));
  t.diagnostic(
    `importing the root entry takes ${time.toFixed(1)} ms (median of nine processes) and loads ${files.length} files`,
  );
});

for (const url of ["memory:", "sqlite:./data.db"]) {
  test(`the packaged engine ${url} keeps what was committed`, () => {
    const answer = runInApp(`
      import { connect } from "ashlar";
      await using engine = await connect("${url}");
      await engine.kv.commit({ mutations: [{ set: ["user", 42], value: { name: "Ada" } }] });
      console.log((await engine.kv.get(["user", 42])).value.name);`);
    assert.equal(answer.trim(), "Ada");
  });
}

test("an engine whose client is not installed says which package it needs", () => {
  const answer = runInApp(`
    import { connect } from "ashlar";
    const error = await connect("postgres://127.0.0.1:1/x").catch((error) => error);
    console.log(error.code, error.message);`);
  assert.match(answer, /^UNSUPPORTED .*npm install pg/);
});

for (const example of globSync("examples/*.ts", { cwd: root })) {
  test(`${example} runs against the package, as a user would run it`, () => {
    const copy = join(app, basename(example));
    cpSync(join(root, example), copy);
    run(copy);
  });
}

test("the command runs from the package", () => {
  const [command] = Object.values(manifest.bin);
  assert.match(run(join(app, "node_modules/ashlar", command as string), "--help"), /ashlar/);
});

function run(program: string, ...args: string[]): string {
  return execute(process.execPath, [program, ...args], app ?? root);
}

function execute(command: string, args: readonly string[], cwd: string): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 120_000 });
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${error ?? ""}${stdout}${stderr}`);
  return stdout;
}

function runInApp(program: string): string {
  const file = join(app, `program-${Math.random().toString(36).slice(2)}.js`);
  writeFileSync(file, program);
  return run(file);
}
