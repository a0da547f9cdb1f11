import type { Problem } from "./project.ts";

/** One row of the table of error codes. */
export interface ErrorRow {
  readonly code: string;
  readonly class: { readonly name: string };
  readonly definite: boolean;
  readonly retryable: boolean;
  readonly meaning: string;
  readonly remedy: string;
}

const file = "docs/errors.md";

/** The rows that the page must hold, in this order. */
export function errorRows(codes: readonly ErrorRow[]): string[] {
  return codes.map(
    ({ code, class: { name }, definite, retryable, meaning, remedy }) =>
      `| \`${code}\` | \`${name}\` | ${definite ? "yes" : "no"} | ${retryable ? "yes" : "no"} | ${meaning} | ${remedy} |`,
  );
}

/** The page's table and the table in code say the same, word for word. */
export function errorsPage(codes: readonly ErrorRow[], page: string): Problem[] {
  const expected = errorRows(codes);
  const lines = page.split("\n");
  const problems: Problem[] = [];
  for (const row of expected) {
    if (!lines.includes(row)) {
      problems.push({
        file,
        line: 1,
        what: "a row is missing or differs from src/core/error-codes.ts",
        remedy: `write: ${row}`,
      });
    }
  }
  lines.forEach((row, i) => {
    if (/^\| `[A-Z_]+` \|/.test(row) && !expected.includes(row)) {
      problems.push({
        file,
        line: i + 1,
        what: `no such row in src/core/error-codes.ts: ${row}`,
        remedy: "correct or drop it",
      });
    }
  });
  return problems;
}
