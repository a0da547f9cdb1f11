import { UsageError } from "./command.ts";

/*
 * Values as JSON. What JSON cannot say is an object with one name that begins with "$":
 *
 *   {"$bytes": base64}  {"$bigint": digits}  {"$date": ISO 8601}  {"$number": "NaN" | "Infinity" | "-Infinity" | "-0"}
 *   {"$map": [[key, value], …]}  {"$set": [value, …]}  {"$undefined": true}
 *   {"$object": {…}}  an object that looks like one of these itself
 *   {"$other": text}  what can be shown, but not be read back: regular expressions, errors, cycles
 */

/** The value as JSON's values. */
export function toJson(value: unknown, above: readonly object[] = []): unknown {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : String(value) };
    case "bigint":
      return { $bigint: String(value) };
    case "undefined":
      return { $undefined: true };
    case "object":
      return value === null ? null : objectToJson(value, above);
    default:
      return value;
  }
}

function objectToJson(value: object, above: readonly object[]): unknown {
  if (above.includes(value)) return { $other: "a cycle" };
  const inside = (part: unknown): unknown => toJson(part, [...above, value]);
  if (Array.isArray(value)) return value.map(inside);
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? "invalid" : value.toISOString() };
  if (value instanceof Map) return { $map: [...value].map((pair) => pair.map(inside)) };
  if (value instanceof Set) return { $set: [...value].map(inside) };
  if (value instanceof Error || value instanceof RegExp) return { $other: String(value) };
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return { $other: `${value.constructor.name} of ${value.byteLength} bytes` };
  const plain = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, inside(part)]));
  return markOf(plain) === undefined ? plain : { $object: plain };
}

/** The one name of an object that says what JSON cannot. */
function markOf(value: object): string | undefined {
  const [name, another] = Object.keys(value);
  return name?.startsWith("$") && another === undefined ? name : undefined;
}

/**
 * The value that this JSON text says.
 * @throws UsageError it is no JSON, or a "$" name that is unknown
 */
export function parseValue(text: string, name: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const hint = /^[\w ./:-]+$/.test(text) ? `; a text needs its quotes: '${JSON.stringify(text)}'` : "";
    throw new UsageError(`${name}: given ${text.slice(0, 80)}, which is no JSON (${(error as Error).message})${hint}`);
  }
  return fromJson(json, name);
}

function fromJson(json: unknown, name: string): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map((part) => fromJson(part, name));
  const mark = markOf(json);
  if (mark !== undefined) return fromMarked(mark, (json as Record<string, unknown>)[mark], name);
  return members(json, name);
}

function members(json: object, name: string): object {
  return Object.fromEntries(Object.entries(json).map(([member, part]) => [member, fromJson(part, name)]));
}

const numbers: ReadonlyMap<unknown, number> = new Map([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
  ["-0", -0],
]);

/** For each mark, the value that it says, or `undefined` if this content makes no sense. */
const readers: Readonly<Record<string, (content: unknown, name: string) => unknown>> = {
  $bytes: (content) => (typeof content === "string" ? new Uint8Array(Buffer.from(content, "base64")) : undefined),
  $bigint: (content) => (typeof content === "string" && /^-?\d+$/.test(content) ? BigInt(content) : undefined),
  $date: (content) =>
    content === "invalid" || !Number.isNaN(Date.parse(String(content))) ? new Date(String(content)) : undefined,
  $number: (content) => numbers.get(content),
  $map: (content, name) =>
    isPairs(content) ? new Map(content.map(([key, value]) => [fromJson(key, name), fromJson(value, name)])) : undefined,
  $set: (content, name) => (Array.isArray(content) ? new Set(content.map((part) => fromJson(part, name))) : undefined),
  $object: (content, name) => (typeof content === "object" && content !== null ? members(content, name) : undefined),
};

function fromMarked(mark: string, content: unknown, name: string): unknown {
  if (mark === "$undefined") return undefined;
  const value = readers[mark]?.(content, name);
  if (value !== undefined) return value;
  const allowed = `${Object.keys(readers).join(", ")}, $undefined`;
  throw new UsageError(
    `${name}: {"${mark}": ${JSON.stringify(content)?.slice(0, 60)}} says nothing; marks are ${allowed}`,
  );
}

function isPairs(content: unknown): content is [unknown, unknown][] {
  return Array.isArray(content) && content.every((pair) => Array.isArray(pair) && pair.length === 2);
}
