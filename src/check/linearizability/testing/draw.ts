import type { Operation } from "../../history.ts";

/**
 * A history from a drawing, a line for each client, where time runs to the right:
 * ```
 * a: <set 1>     <get → 2>
 * b:    <set(x) 2
 * c:               <cas {"expected":1,"value":2} → false!>
 * ```
 * Here the answer of b never came, and the cas failed.
 */
export function draw(drawing: string): Operation[] {
  const operations: Omit<Operation, "id">[] = [];
  for (const line of drawing.split("\n")) {
    const client = /^\s*(\w+):/.exec(line)?.[1];
    if (client === undefined) continue;
    for (const match of line.matchAll(/<(\w+)(?:\((\w+)\))?([^<>]*)(>|$)/g)) {
      const [text, name = "", key, rest = "", end] = match;
      const [input = "", output = ""] = rest.split("→").map((part) => part.trim());
      const isUnknown = end === "";
      const failed = input.endsWith("!") || output.endsWith("!");
      const value = (source: string): unknown => JSON.parse(source.replace(/!$/, ""));
      operations.push({
        client,
        name,
        ...(key !== undefined && { key }),
        ...(/^[^!]/.test(input) && { input: value(input) }),
        ...(/^[^!]/.test(output) && { output: value(output) }),
        outcome: isUnknown ? "unknown" : failed ? "failed" : "ok",
        called: match.index,
        returned: isUnknown ? Infinity : match.index + text.length - 1,
      });
    }
  }
  return operations.toSorted((a, b) => a.called - b.called).map((operation, id) => ({ id, ...operation }));
}
