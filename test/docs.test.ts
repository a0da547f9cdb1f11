import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { examplesOf } from "./docs/examples.ts";

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
    const folder = mkdtempSync(join(tmpdir(), "ashlar-docs-"));
    try {
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      writeFileSync(join(folder, "example.ts"), example.code);
      const hooks = new URL("./docs/source-hooks.ts", import.meta.url).href;
      const { stdout } = await run(process.execPath, ["--import", hooks, "example.ts"], {
        cwd: folder,
        timeout: 60_000,
      });
      assert.deepEqual(stdout.split("\n").slice(0, -1), example.prints);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test("the examples are well typed", async () => {
  // Inside the project, so that its types and those of its dependencies are found.
  const folder = join(root, "test", "docs", ".examples");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    for (const { where, code } of examples)
      writeFileSync(join(folder, `${where.replaceAll(/[^a-z0-9]+/gi, "-")}.ts`), `${code}\nexport {};\n`);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: relative(folder, join(root, "tsconfig.json")), include: ["*.ts"] }),
    );
    const { stdout } = await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
      cwd: root,
    }).catch((error) => error);
    assert.equal(stdout, "");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
