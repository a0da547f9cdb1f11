import { posix } from "node:path";
import type { Problem, Project } from "./project.ts";

/** Every relative link in a Markdown file leads to a file or folder of the project, and its anchor to a heading. */
export function links({ files }: Project): Problem[] {
  const problems: Problem[] = [];
  const exists = (path: string) => files.has(path) || [...files.keys()].some((each) => each.startsWith(`${path}/`));
  for (const [file, text] of files) {
    if (!file.endsWith(".md")) continue;
    for (const { target, line } of linksOf(text)) {
      const problem = (what: string, remedy: string) => problems.push({ file, line, what, remedy });
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [path = "", anchor] = decodeURI(target).split("#");
      const to = path === "" ? file : posix.normalize(posix.join(posix.dirname(file), path)).replace(/\/$/, "");
      if (path.startsWith("/")) problem(`${target} is absolute`, "link relative to this file");
      else if (to !== "." && !exists(to)) problem(`${target} leads nowhere`, "correct the path, or write the page");
      else if (anchor !== undefined && to.endsWith(".md") && !anchorsOf(files.get(to) ?? "").has(anchor)) {
        problem(
          `${target}: ${to} has no heading #${anchor}`,
          "correct the anchor; it is the heading in lower case, with hyphens",
        );
      }
    }
  }
  return problems;
}

const blockHeadings = [
  "What it is",
  "Guarantees",
  "What it does not promise",
  "Use",
  "Options",
  "Failure behaviour",
  "How it works",
  "How it is checked",
  "Measured",
];

/** Who has read one block's page finds everything at its place on the next. */
export function blockPages({ files }: Project): Problem[] {
  return [...files].flatMap(([file, text]) => {
    if (!/^docs\/blocks\/(?!README)[^/]+\.md$/.test(file)) return [];
    const headings = headingsOf(text).filter(({ level }) => level === 2);
    const fixed = headings.map(({ title }) => title).filter((title) => !title.startsWith("Coming from "));
    if (fixed.join("\n") === blockHeadings.join("\n")) return [];
    const at = blockHeadings.findIndex((title, i) => fixed[i] !== title);
    const what = `the headings are not those of a block's page, from "${blockHeadings[at] ?? fixed[blockHeadings.length]}" on`;
    const line = headings.find(({ title }) => title === fixed[at === -1 ? blockHeadings.length : at])?.line ?? 1;
    return [{ file, line, what, remedy: `use in this order: ${blockHeadings.join(" · ")} · Coming from <peer>` }];
  });
}

/** The text with code blanked out, line by line; code is neither link nor heading. */
function proseLines(text: string): string[] {
  let fence: string | undefined;
  return text.split("\n").map((line) => {
    const mark = /^\s*(```+|~~~+)/.exec(line)?.[1];
    if (fence !== undefined) {
      if (mark?.startsWith(fence)) fence = undefined;
      return "";
    }
    fence = mark;
    return mark === undefined ? line : "";
  });
}

function* linksOf(text: string): Generator<{ target: string; line: number }> {
  for (const [i, prose] of proseLines(text).entries()) {
    const line = prose.replace(/(`+)[^`].*?\1/g, "");
    const patterns = [
      /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g,
      /^\s{0,3}\[[^\]]+\]:\s*(\S+)/g,
      /\b(?:href|src)="([^"]+)"/g,
    ];
    for (const pattern of patterns) {
      for (const match of line.matchAll(pattern)) yield { target: match[1] as string, line: i + 1 };
    }
  }
}

function headingsOf(text: string): { level: number; title: string; line: number }[] {
  return proseLines(text).flatMap((line, i) => {
    const match = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    return match === null ? [] : [{ level: match[1]?.length ?? 0, title: match[2] as string, line: i + 1 }];
  });
}

/** The anchors of the headings as the common forges make them. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const { title } of headingsOf(text)) {
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  for (const match of text.matchAll(/\b(?:id|name)="([^"]+)"/g)) anchors.add(match[1] as string);
  return anchors;
}
