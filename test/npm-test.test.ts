import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../scripts/test.ts", import.meta.url));

test("npm test fails when a test fails", (t) => {
  const folder = folderWith(
    t,
    "a.test.ts",
    'import { test } from "node:test"; test("no", () => { throw new Error("no"); });',
  );
  assert.equal(npmTest(folder).status, 1);
});

test("npm test passes when all tests pass, and hands options on to the runner", (t) => {
  const folder = folderWith(
    t,
    "a.test.ts",
    'import { test } from "node:test"; test("yes", () => {}); test("other", () => {});',
  );
  const { status, stdout } = npmTest(folder, "--test-reporter=tap", "--test-name-pattern=yes");
  assert.equal(status, 0);
  assert.match(stdout, /^# pass 1$/m);
});

test("npm test fails when it finds no test", (t) => {
  for (const path of [folderWith(t, "a.ts", ""), "no-such-folder"]) {
    const { status, stderr } = npmTest(path);
    assert.equal(status, 1);
    assert.match(stderr, /no test files/);
  }
});

function folderWith(t: TestContext, name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-npm-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, name), text);
  return folder;
}

function npmTest(...args: string[]) {
  // A runner that believes to be a file of this run would report to it instead of printing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync(process.execPath, [script, ...args], { env, encoding: "utf8" });
}
