import type { Key, KeyPart } from "../core/index.ts";
import type { Topic } from "../engine/index.ts";
import { UsageError } from "./command.ts";
import { parseValue, toJson } from "./json-values.ts";

/**
 * A key from the command line: a JSON array, or a path with slashes whose whole numbers are integers: `user/42` is `["user", 42]`.
 * @throws UsageError
 */
export function parseKey(text: string, name = "key"): Key {
  if (text.startsWith("[")) return parseTuple(text, name);
  if (text === "") throw new UsageError(`${name}: empty; give a path such as user/42, or a JSON array`);
  return text.split("/").map((part) => (/^(0|-?[1-9]\d*)$/.test(part) ? toInteger(part) : part));
}

/** A topic from the command line: a JSON array, or else the name as it stands. */
export function parseTopic(text: string): Topic {
  return text.startsWith("[") ? parseTuple(text, "topic") : text;
}

function parseTuple(text: string, name: string): Key {
  const parts = parseValue(text, name) as unknown[];
  for (const part of parts) {
    const valid =
      typeof part === "string" ||
      typeof part === "boolean" ||
      typeof part === "bigint" ||
      part instanceof Uint8Array ||
      Number.isSafeInteger(part);
    if (!valid)
      throw new UsageError(
        `${name}: ${JSON.stringify(toJson(part))} is no part of a key; parts are texts, integers, booleans and bytes`,
      );
  }
  return parts as KeyPart[];
}

function toInteger(text: string): number | bigint {
  const integer = Number(text);
  return Number.isSafeInteger(integer) ? integer : BigInt(text);
}

/** The key as a path if `parseKey` would read the path as this key, else as JSON. */
export function showKey(key: Key): string {
  const path = key.map(String).join("/");
  const plain = key.every((part) => typeof part === "number" || typeof part === "bigint" || isPlain(part));
  return plain && path !== "" ? path : JSON.stringify(toJson(key));
}

/** A text that a path shows without doubt. */
function isPlain(part: KeyPart): boolean {
  return typeof part === "string" && /^[^/[\s\p{C}][^/\s\p{C}]*$/u.test(part) && !/^-?\d+$/.test(part);
}
