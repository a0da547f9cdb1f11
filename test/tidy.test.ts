import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cycles } from "./tidy/cycles.ts";
import { errorsPage } from "./tidy/errors-page.ts";
import { layers } from "./tidy/layers.ts";
import { blockPages, links } from "./tidy/markdown.ts";
import { dependencies, exportsMap, lockfile } from "./tidy/package-map.ts";
import { loadProject, type Problem, showProblem } from "./tidy/project.ts";
import { seam } from "./tidy/seam.ts";
import { sizesAndNames } from "./tidy/sizes-and-names.ts";
import { words } from "./tidy/words.ts";

const project = loadProject(fileURLToPath(new URL("..", import.meta.url)));

test("no file swells, and none is a grab-bag", () => holds(sizesAndNames(project)));

test("time, chance and timers come from the runtime alone", () => holds(seam(project)));

test("imports point downwards and enter a folder through its index", () => holds(layers(project)));

test("no import cycle, not even of types between folders", () => holds(cycles(project)));

test("the exports map and the folders agree", () => holds(exportsMap(project)));

test("what is imported is declared, and what is declared is imported", () => holds(dependencies(project)));

test("the lockfile names no host", () => holds(lockfile(project.files.get("package-lock.json") ?? "")));

test("docs/errors.md holds the table of error codes", async () => {
  const { errorCodes } = await import("../src/core/index.ts");
  holds(errorsPage(errorCodes, project.files.get("docs/errors.md") ?? ""));
});

test("every error class of core has one code, whose traits are as the table says", async () => {
  const core = await import("../src/core/index.ts");
  const { AshlarError, errorCodes } = core;
  const classes = Object.values(core).filter(
    (value) => typeof value === "function" && value.prototype instanceof AshlarError,
  );
  assert.deepEqual(new Set<unknown>(errorCodes.map((row) => row.class)), new Set<unknown>(classes));
  assert.equal(new Set(errorCodes.map(({ code }) => code)).size, errorCodes.length);
  for (const { code, class: ErrorClass, definite, retryable } of errorCodes) {
    const error = new ErrorClass("an example");
    assert.deepEqual([error.code, error.definite, error.retryable], [code, definite, retryable]);
  }
});

test("no link in a Markdown file is dead", () => holds(links(project)));

test("the pages of the blocks have the same headings", () => holds(blockPages(project)));

test("no machine's path, no registry's host, no notes to self", () => holds(words(project)));

function holds(problems: Problem[]): void {
  if (problems.length > 0) assert.fail(`${problems.length} to mend:\n${problems.map(showProblem).join("\n")}`);
}
