import type { AnomalyName } from "./levels.ts";
import type { Key, Value } from "./micro-operations.ts";

/** An anomaly that is seen without the graph. */
export interface Finding {
  readonly name: AnomalyName;
  readonly transactions: readonly number[];
  readonly explanation: readonly string[];
}

const keptAtMost = 8;

/** Collects findings, a few of each name: the first ones tell as much as all. */
export class Findings {
  readonly found: Finding[] = [];
  readonly #counts = new Map<AnomalyName, number>();

  add(name: AnomalyName, transactions: readonly number[], ...explanation: string[]): void {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    if (count <= keptAtMost) this.found.push({ name, transactions: [...new Set(transactions)], explanation });
  }
}

/** A key, a value or a list for people: JSON, shortened. */
export function show(value: Key | Value | readonly Value[]): string {
  if (typeof value !== "object") return JSON.stringify(value);
  const shown = value.length > 12 ? value.slice(-11) : value;
  return `[${shown.length < value.length ? "…, " : ""}${shown.map((each) => JSON.stringify(each)).join(", ")}]`;
}
