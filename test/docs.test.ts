import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { examplesOf } from "./docs/examples.ts";
import { type Step, type Walkthrough, walkthroughOf } from "./docs/walkthrough.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);
const pages = globSync(["README.md", "docs/**/*.md"], { cwd: root }).sort();
const examples = pages.flatMap((page) => examplesOf(page, readFileSync(join(root, page), "utf8")));

test("the pages have examples", () => {
  assert.ok(examples.length >= 8, `only ${examples.length} examples found`);
});

test("examples are read with their lines, what they print, and their marks", () => {
  const page = "text\n```ts\nconsole.log(1); // → 1\n```\n```ts needs-server\nlet a;\n```\n```sh\nls\n```";
  assert.deepEqual(examplesOf("a.md", page), [
    { where: "a.md:2", code: "console.log(1); // → 1", prints: ["1"], needsServer: false },
    { where: "a.md:5", code: "let a;", prints: [], needsServer: true },
  ]);
});

for (const example of examples.filter(({ needsServer }) => !needsServer)) {
  test(`${example.where} runs and prints what it says`, async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      writeFileSync(join(folder, "example.ts"), example.code);
      const { stdout } = await run(process.execPath, ["--import", hooks, "example.ts"], {
        cwd: folder,
        timeout: 60_000,
      });
      assert.deepEqual(stdout.split("\n").slice(0, -1), example.prints);
    });
  });
}

const hooks = new URL("./docs/source-hooks.ts", import.meta.url).href;
const walkthroughs = pages.flatMap((page) => walkthroughOf(page, readFileSync(join(root, page), "utf8")) ?? []);

test("walkthroughs are read with their files, commands, and what these print", () => {
  const page =
    "```ts file=a.ts\nlet a;\n```\n```sh run\nls a.ts\n# → a.ts\n# exits with 1\n\nrm a.ts\n```\n```sh\nls\n```\n";
  assert.deepEqual(walkthroughOf("a.md", page)?.steps, [
    { file: "a.ts", code: "let a;\n" },
    { command: "ls a.ts", prints: ["a.ts"], exitCode: 1 },
    { command: "rm a.ts", prints: [], exitCode: 0 },
  ]);
  assert.equal(walkthroughOf("a.md", "```sh\nls\n```\n"), undefined);
});

for (const walkthrough of walkthroughs) {
  test(`${walkthrough.page}: each step goes as it says`, () => inFolder((folder) => follow(walkthrough, folder)));
}

async function follow({ page, steps }: Walkthrough, folder: string): Promise<void> {
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const step of steps) {
    if ("file" in step) writeFileSync(join(folder, step.file), step.code);
    else await perform(step, folder, page);
  }
}

async function perform(step: Extract<Step, { command: string }>, folder: string, page: string): Promise<void> {
  const [program, name, ...args] = wordsOf(step.command);
  assert.ok(program === "npx" && name === "ashlar", `${page}: only npx ashlar is run, not ${step.command}`);
  const { stdout, code } = await run(process.execPath, [join(root, "src/cli/main.ts"), ...args], {
    cwd: folder,
    timeout: 120_000,
    env: { ...process.env, NODE_OPTIONS: `--import ${hooks}` },
  }).then(
    ({ stdout }) => ({ stdout, code: 0 }),
    (error) => ({ stdout: `${error.stdout}${error.stderr}`, code: error.code }),
  );
  assert.equal(code, step.exitCode, `${step.command}\n${stdout}`);
  const lines = stdout.split("\n");
  for (const expected of step.prints) {
    assert.ok(
      lines.some((line) => line.includes(expected)),
      `${step.command} does not print\n${expected}\nbut\n${stdout}`,
    );
  }
}

/** Words as a shell has them, as far as pages need it: single quotes. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-docs-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the examples are well typed", async () => {
  // Inside the project, so that its types and those of its dependencies are found.
  const folder = join(root, "test", "docs", ".examples");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    for (const { where, code } of examples)
      writeFileSync(join(folder, `${where.replaceAll(/[^a-z0-9]+/gi, "-")}.ts`), `${code}\nexport {};\n`);
    for (const { page, steps } of walkthroughs) {
      const own = join(folder, page.replaceAll(/[^a-z0-9]+/gi, "-"));
      mkdirSync(own);
      for (const step of steps) if ("file" in step) writeFileSync(join(own, step.file), step.code);
    }
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: relative(folder, join(root, "tsconfig.json")), include: ["**/*.ts"] }),
    );
    const { stdout } = await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
      cwd: root,
    }).catch((error) => error);
    assert.equal(stdout, "");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
