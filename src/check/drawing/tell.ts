import type { Operation } from "../history.ts";

/** An operation in one line. */
export function tell({ client, name, key, input, output, outcome }: Operation): string {
  const asked = [name, key, input === undefined ? undefined : JSON.stringify(input)]
    .filter((part) => part !== undefined)
    .join(" ");
  return `${client}: ${asked}${outcome === "ok" ? (output === undefined ? "" : ` → ${JSON.stringify(output)}`) : ` (${outcome})`}`;
}
