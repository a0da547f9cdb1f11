/** A page that leads through something: files to write and commands to run, in the order of the page. */
export interface Walkthrough {
  readonly page: string;
  readonly steps: readonly Step[];
}

export type Step =
  /** A block marked `ts file=name`; a later one of the same name replaces it. */
  | { readonly file: string; readonly code: string }
  /** A command of a block marked `sh run`, the lines that its output must contain (`# → text`), and its exit code (`# exits with n`). */
  | { readonly command: string; readonly prints: readonly string[]; readonly exitCode: number };

/** The walkthrough of a page; `undefined` if it has no commands to run. */
export function walkthroughOf(page: string, text: string): Walkthrough | undefined {
  const steps: Step[] = [];
  for (const [, fence = "", body = ""] of text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)) {
    const file = /^ts file=(\S+)$/.exec(fence)?.[1];
    if (file !== undefined) steps.push({ file, code: body });
    if (fence === "sh run") steps.push(...commandsOf(body));
  }
  return steps.some((step) => "command" in step) ? { page, steps } : undefined;
}

function commandsOf(body: string): Step[] {
  const steps: { command: string; prints: string[]; exitCode: number }[] = [];
  for (const line of body.split("\n")) {
    const last = steps.at(-1);
    const printed = /^# → (.*)$/.exec(line)?.[1];
    const exitCode = /^# exits with (\d+)$/.exec(line)?.[1];
    if (printed !== undefined) last?.prints.push(printed);
    else if (exitCode !== undefined && last) last.exitCode = Number(exitCode);
    else if (line.trim() !== "" && !line.startsWith("#")) steps.push({ command: line, prints: [], exitCode: 0 });
  }
  return steps;
}
