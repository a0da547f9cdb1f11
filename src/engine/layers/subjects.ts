import { invalidArgument } from "../../core/index.ts";

/** Bytes of a subject or a pattern at most. */
const longest = 512;

/** @throws InvalidArgumentError not dot-separated tokens without wildcards */
export function assertSubject(subject: unknown): asserts subject is string {
  if (isDotted(subject) && !/[*>]/.test(subject)) return;
  throw invalidArgument(
    "subject",
    subject,
    `tokens separated by dots, without spaces, * or >, at most ${longest} bytes`,
  );
}

/** @throws InvalidArgumentError not dot-separated tokens, each a word, `*`, or, at the end, `>` */
export function assertPattern(pattern: unknown): asserts pattern is string {
  const tokens = isDotted(pattern) ? pattern.split(".") : [];
  const valid = tokens.every(
    (token, i) => token === "*" || (token === ">" && i === tokens.length - 1) || !/[*>]/.test(token),
  );
  if (tokens.length > 0 && valid) return;
  throw invalidArgument(
    "pattern",
    pattern,
    `tokens separated by dots, without spaces; * for one token, > at the end for one or more; at most ${longest} bytes`,
  );
}

/** A test for subjects. `*` stands for one token, a last `>` for one or more. */
export function matcher(pattern: string): (subject: string) => boolean {
  const tokens = pattern.split(".");
  const open = tokens.at(-1) === ">";
  if (open) tokens.pop();
  return (subject) => {
    const given = subject.split(".");
    if (open ? given.length <= tokens.length : given.length !== tokens.length) return false;
    return tokens.every((token, i) => token === "*" || token === given[i]);
  };
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
