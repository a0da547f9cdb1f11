import { posix } from "node:path";

/** A TypeScript file as the rules see it. */
export interface Source {
  readonly path: string;
  /** The text with comments, regular expressions and the insides of strings blanked out; every character keeps its place. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Import {
  readonly line: number;
  readonly specifier: string;
  /** The file that a relative specifier names, from the project's root; `undefined` for a package. */
  readonly target: string | undefined;
  /** `url`: a file named by `new URL("./x.ts", import.meta.url)`, such as a worker's. */
  readonly kind: "value" | "type" | "dynamic" | "url";
}

export function parseSource(path: string, text: string): Source {
  const code = blank(text);
  return { path, code, imports: findImports(path, text, code) };
}

/** The number of the line, from 1, on which this character stands. */
export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < index; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

function findImports(path: string, text: string, code: string): Import[] {
  const imports: Import[] = [];
  const add = (kind: Import["kind"], index: number, quote: number) => {
    const mark = text[quote] as string;
    const specifier = text.slice(quote + 1, text.indexOf(mark, quote + 1));
    const target = specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined;
    imports.push({ line: lineAt(text, index), specifier, target, kind });
  };
  const end = (match: RegExpExecArray) => match.index + match[0].length - 1;
  for (const match of code.matchAll(/\b(import|export)\b(\s+type\b(?!\s*,|\s+from\b))?[^;"'`()]*?\bfrom\s*["']/g)) {
    add(match[2] === undefined ? "value" : "type", match.index, end(match));
  }
  for (const match of code.matchAll(/\bimport\s*["']/g)) add("value", match.index, end(match));
  for (const match of code.matchAll(/(\btypeof\s+)?\bimport\s*\(\s*["'][^"']*["']\s*\)(\s*\.\s*[A-Z])?/g)) {
    const type = match[1] !== undefined || match[2] !== undefined;
    add(type ? "type" : "dynamic", match.index, match.index + match[0].search(/["']/));
  }
  for (const match of code.matchAll(/\bnew\s+URL\s*\(\s*["'][^"']*["']\s*,\s*import\.meta\.url/g)) {
    add("url", match.index, match.index + match[0].search(/["']/));
  }
  return imports;
}

/** Blanks out what is not code. Strings keep their quotes, and template literals the code inside `${}`. */
function blank(text: string): string {
  const out = text.split("").map((char): string => (char === "\n" ? char : " "));
  // Braces that are open in the code, innermost last: `${` of a template, or an ordinary one.
  const braces: ("template" | "block")[] = [];
  let at = 0;
  const keep = (count = 1) => {
    for (const end = at + count; at < end; at++) out[at] = text[at] as string;
  };
  const skipTo = (end: number) => {
    at = end === -1 ? text.length : end;
  };
  const template = () => {
    while (at < text.length && text[at] !== "`" && !text.startsWith("${", at)) at += text[at] === "\\" ? 2 : 1;
    if (text.startsWith("${", at)) braces.push("template");
    keep(text[at] === "`" ? 1 : 2);
  };
  while (at < text.length) {
    const char = text[at] as string;
    if (text.startsWith("//", at)) skipTo(text.indexOf("\n", at));
    else if (text.startsWith("/*", at)) skipTo(text.indexOf("*/", at + 2) === -1 ? -1 : text.indexOf("*/", at + 2) + 2);
    else if (char === '"' || char === "'") {
      keep();
      while (at < text.length && text[at] !== char && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
      keep();
    } else if (char === "`") {
      keep();
      template();
    } else if (char === "/" && regexMayStart(out, at)) at = endOfRegex(text, at);
    else {
      if (char === "{") braces.push("block");
      const closed = char === "}" ? braces.pop() : undefined;
      keep();
      if (closed === "template") template();
    }
  }
  return out.slice(0, text.length).join("");
}

/** A slash divides after a value, and begins a regular expression everywhere else. */
function regexMayStart(out: readonly string[], slash: number): boolean {
  let at = slash - 1;
  while (at >= 0 && /\s/.test(out[at] as string)) at--;
  if (at < 0 || !/[\w$)\]}"'`]/.test(out[at] as string)) return true;
  const word = /[a-z]+$/.exec(out.slice(Math.max(0, at - 9), at + 1).join(""))?.[0] ?? "";
  return /^(return|typeof|case|in|of|do|else|void|yield|await|delete|throw)$/.test(word);
}

function endOfRegex(text: string, slash: number): number {
  let inClass = false;
  for (let at = slash + 1; at < text.length && text[at] !== "\n"; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) return at + 1 + (/^[a-z]+/.exec(text.slice(at + 1, at + 9))?.[0].length ?? 0);
  }
  return slash + 1;
}
