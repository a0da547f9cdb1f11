import { invalidArgument } from "../../core/index.ts";

/** Bytes of a name or a pattern at most, as for subjects of the bus. */
const longest = 512;

/** Dotted names that fit: `*` stands for one token, a last `>` for one or more. The rules are those of the engine's bus. */
export interface NamePattern {
  readonly pattern: string;
  /** The only name that fits, if there is but one: what can be looked up instead of tried. */
  readonly only: string | undefined;
  /** Whether the name fits. False for what is no name. */
  matches(name: string): boolean;
}

/** @throws InvalidArgumentError not dot-separated tokens, each a word, `*`, or, at the end, `>` */
export function compilePattern(pattern: string): NamePattern {
  const tokens = isDotted(pattern) ? pattern.split(".") : [];
  const isOpen = tokens.at(-1) === ">";
  if (isOpen) tokens.pop();
  const isValid = (tokens.length > 0 || isOpen) && tokens.every((token) => token === "*" || !/[*>]/.test(token));
  if (!isValid) {
    const allowed = `tokens separated by dots, without spaces; * for one token, > at the end for one or more; at most ${longest} bytes`;
    throw invalidArgument("pattern", pattern, allowed);
  }
  const only = isOpen || tokens.includes("*") ? undefined : pattern;
  return {
    pattern,
    only,
    matches: only === undefined ? (name) => isName(name) && fits(tokens, isOpen, name) : (name) => name === only,
  };
}

/** Whether the name fits the pattern. For one pattern and many names, `compilePattern` once. @throws InvalidArgumentError no pattern */
export function matchPattern(pattern: string, name: string): boolean {
  return compilePattern(pattern).matches(name);
}

function fits(tokens: readonly string[], isOpen: boolean, name: string): boolean {
  const given = name.split(".");
  if (isOpen ? given.length <= tokens.length : given.length !== tokens.length) return false;
  return tokens.every((token, i) => token === "*" || token === given[i]);
}

function isName(given: unknown): given is string {
  return isDotted(given) && !/[*>]/.test(given);
}

function isDotted(given: unknown): given is string {
  return (
    typeof given === "string" &&
    given.isWellFormed() &&
    Buffer.byteLength(given) <= longest &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    /^[^\s.\u0000-\u001f]+(\.[^\s.\u0000-\u001f]+)*$/.test(given)
  );
}
