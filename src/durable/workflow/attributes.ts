import { invalidArgument } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import type { Attributes } from "./contract.ts";
import { keys } from "./layout.ts";

const most = 20;

/** @throws InvalidArgumentError */
export function assertAttributes(given: unknown, name: string): asserts given is Attributes {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument(name, given, "an object of texts, numbers and booleans");
  const entries = Object.entries(given);
  if (entries.length > most) throw invalidArgument(name, `${entries.length} attributes`, `at most ${most}`);
  for (const [key, value] of entries) {
    if (key.length === 0 || key.length > 100) throw invalidArgument(name, key, "names of 1 to 100 characters");
    const isText = typeof value === "string" && value.length <= 200 && value.isWellFormed();
    if (!isText && typeof value !== "boolean" && !(typeof value === "number" && Number.isFinite(value)))
      throw invalidArgument(`${name}.${key}`, value, "a text of at most 200 characters, a finite number, or a boolean");
  }
}

/** By what a run is found from now on. Two operations for each attribute at most, and one. */
export function writeAttributes(tx: Transaction, id: string, before: Attributes, after: Attributes): void {
  for (const [name, value] of Object.entries(before)) if (after[name] !== value) tx.delete(keys.by(name, value, id));
  for (const [name, value] of Object.entries(after)) tx.set(keys.by(name, value, id), true);
  if (Object.keys(after).length > 0) tx.set(keys.attributes(id), after);
  else tx.delete(keys.attributes(id));
}
