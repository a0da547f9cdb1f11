import { invalidArgument } from "../../core/index.ts";

/** Bytes of a subject or a pattern at most. */
const longest = 512;

/** @throws InvalidArgumentError not dot-separated tokens without wildcards */
export function assertSubject(subject: unknown): asserts subject is string {
  if (isDotted(subject) && !/[*>]/.test(subject)) return;
  const allowed = `tokens separated by dots, without spaces, * or >, at most ${longest} bytes`;
  throw invalidArgument("subject", subject, allowed);
}

/** A parsed pattern. */
export interface Pattern {
  /** Tokens to be met one by one; `undefined` stands for any. */
  readonly tokens: readonly (string | undefined)[];
  /** Whether one or more tokens have to follow. */
  readonly isOpen: boolean;
  /** The only subject that matches, if there is but one. */
  readonly only: string | undefined;
}

/** @throws InvalidArgumentError not dot-separated tokens, each a word, `*`, or, at the end, `>` */
export function parsePattern(pattern: unknown): Pattern {
  const tokens = isDotted(pattern) ? pattern.split(".") : [];
  const isOpen = tokens.at(-1) === ">";
  if (isOpen) tokens.pop();
  const isValid = (tokens.length > 0 || isOpen) && tokens.every((token) => token === "*" || !/[*>]/.test(token));
  if (!isValid) {
    const allowed = `tokens separated by dots, without spaces; * for one token, > at the end for one or more; at most ${longest} bytes`;
    throw invalidArgument("pattern", pattern, allowed);
  }
  const only = isOpen || tokens.includes("*") ? undefined : (pattern as string);
  return { tokens: tokens.map((token) => (token === "*" ? undefined : token)), isOpen, only };
}

/** Whether the subject that consists of these tokens matches. */
export function matches({ tokens, isOpen }: Pattern, subject: readonly string[]): boolean {
  if (isOpen ? subject.length <= tokens.length : subject.length !== tokens.length) return false;
  for (let i = 0; i < tokens.length; i++) if (tokens[i] !== undefined && tokens[i] !== subject[i]) return false;
  return true;
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
