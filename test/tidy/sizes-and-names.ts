import { posix } from "node:path";
import type { Problem, Project } from "./project.ts";

const linesAtMost = 450;
const grabBags = /^(utils?|helpers?|common|types|interfaces|misc|shared)$/;

/** No file swells, and none is a grab-bag. (The length of functions and the case of names are Biome's.) */
export function sizesAndNames({ sources, files }: Project): Problem[] {
  const problems: Problem[] = [];
  for (const file of sources.keys()) {
    const lines = (files.get(file) ?? "").split("\n").length - 1;
    if (lines > linesAtMost) {
      problems.push({
        file,
        line: linesAtMost + 1,
        what: `${lines} lines, which is over ${linesAtMost}`,
        remedy: "find the state or the idea that this file should not own, and give it a file of its own",
      });
    }
    const bag = file.split("/").find((part) => grabBags.test(posix.basename(part, ".ts")));
    if (bag !== undefined) {
      problems.push({ file, line: 1, what: `"${bag}" says nothing`, remedy: "name it after its one main thing" });
    }
  }
  return problems;
}
