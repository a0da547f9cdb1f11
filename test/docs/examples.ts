/** A program in a page: a fenced block marked `ts`. */
export interface Example {
  /** "docs/kv.md:12": the line of the fence. */
  readonly where: string;
  readonly code: string;
  /** What it prints, line by line, from its `// → text` comments. */
  readonly prints: readonly string[];
  /** Not run, only type-checked: it needs a server (marked `ts needs-server`). */
  readonly needsServer: boolean;
}

/** The examples of a page. Each is a whole program. */
export function examplesOf(file: string, text: string): Example[] {
  const found: Example[] = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```ts(?: (.*))?$/.exec(lines[i] as string);
    // Files of a walkthrough belong together.
    if (!fence || fence[1]?.startsWith("file=")) continue;
    const begin = i + 1;
    while (lines[i + 1] !== undefined && lines[i + 1] !== "```") i++;
    const code = lines.slice(begin, i + 1);
    found.push({
      where: `${file}:${begin}`,
      code: code.join("\n"),
      prints: code.flatMap((line) => /\/\/ → (.*)$/.exec(line)?.[1] ?? []),
      needsServer: fence[1] === "needs-server",
    });
  }
  return found;
}
