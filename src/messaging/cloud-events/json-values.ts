import { invalidArgument, limitExceeded } from "../../core/index.ts";

/** Objects and arrays in one another at most: beyond it, recursion would be at the mercy of the sender. */
const deepest = 500;

/** @throws InvalidArgumentError LimitError something in it would not be the same after JSON */
export function checkJson(value: unknown, path: string, depth = 0): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw invalidArgument(path, value, "a number that JSON can write");
  }
  if (depth >= deepest) throw limitExceeded(path, depth + 1, deepest, "objects in one another");
  if (Array.isArray(value)) {
    for (const [i, each] of value.entries()) checkJson(each, `${path}[${i}]`, depth + 1);
    return;
  }
  if (!isPlain(value))
    throw invalidArgument(path, value, "JSON: text, finite numbers, booleans, null, arrays, objects");
  for (const [name, each] of Object.entries(value))
    if (each !== undefined) checkJson(each, `${path}.${name}`, depth + 1);
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    (prototype === null || prototype === Object.prototype) &&
    typeof (value as { toJSON?: unknown }).toJSON !== "function"
  );
}
