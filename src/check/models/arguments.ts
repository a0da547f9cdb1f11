import { invalidArgument } from "../../core/index.ts";
import type { Operation } from "../history.ts";

/** What is wrong with the operation's field, as an error that names the operation. */
export function malformed(operation: Operation, field: "name" | "key" | "input" | "output", allowed: string): Error {
  return invalidArgument(`operation ${operation.id} (${operation.name}), ${field}`, operation[field], allowed);
}

/** @throws InvalidArgumentError the name is none of these */
export function knownName(operation: Operation, names: readonly string[]): void {
  if (!names.includes(operation.name)) throw malformed(operation, "name", names.map((name) => `"${name}"`).join(", "));
}

/** Whether its output is known. */
export function isAnswered({ outcome }: Operation): boolean {
  return outcome !== "unknown";
}

/** The key, for models whose objects are independent of one another. */
export function byKey({ key }: Operation): string | undefined {
  return key;
}

export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** The field `name` of a JSON object; `undefined` if it is none. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}
