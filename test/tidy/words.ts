import type { Problem, Project } from "./project.ts";
import { lineAt } from "./source.ts";

// The patterns are written so that they do not match themselves.
const unwanted: readonly { readonly text: RegExp; readonly what: string; readonly remedy: string }[] = [
  {
    text: /(?<![a-z.\w$}])\/(?:[w]ork|[f]arm|[t]mp|[r]oot|[h]ome|[U]sers)\/[\w.]/g,
    what: "a path of someone's machine",
    remedy: "make it relative, or ask the operating system (os.tmpdir())",
  },
  {
    text: /\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b/g,
    what: "a note to self",
    remedy: "do it now, or state the limit as a fact where users read it",
  },
  {
    text: /\bregistr[y]\.(?:npm|yarn)|[a-z]\.debia[n]\.[a-z]/g,
    what: "the host of a package registry",
    remedy: "leave the host to the configuration of npm or apt",
  },
];

/** Nothing of the machine that it was written on, and no notes to self. */
export function words({ files }: Project): Problem[] {
  return [...files].flatMap(([file, text]) =>
    file === "package-lock.json"
      ? []
      : unwanted.flatMap(({ text: pattern, what, remedy }) =>
          [...text.matchAll(pattern)].map((match) => ({
            file,
            line: lineAt(text, match.index),
            what: `${what}: ${match[0]}`,
            remedy,
          })),
        ),
  );
}
