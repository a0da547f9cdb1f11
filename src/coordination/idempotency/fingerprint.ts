import { hash } from "node:crypto";
import { invalidArgument, toBase64Url } from "../../core/index.ts";

/**
 * A hash of a value that does not depend on the order of an object's properties or a map's and a set's entries: SHA-256 over canonical JSON (RFC 8785), in base64url.
 *
 * As in JSON, properties that are `undefined` count as absent and `toJSON` is asked. Beyond JSON: bigints, bytes, maps, sets, NaN, the infinities and `undefined` itself each
 * have a form that no JSON has, so `1` and `1n`, or `"a"` and the bytes of it, differ.
 * @throws InvalidArgumentError functions, symbols, cycles, lone surrogates, more than 500 levels; with the path
 */
export function fingerprintOf(value: unknown): string {
  return hash("sha256", canonical(value, "fingerprint", new Set()), "base64url");
}

const deepest = 500;
const allowed =
  "what JSON can hold, and bigints, bytes, maps and sets; no functions, symbols, cycles or lone surrogates";

/** @param around the objects that this value lies in */
function canonical(value: unknown, path: string, around: Set<object>): string {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw invalidArgument(path, value, allowed);
      return JSON.stringify(value);
    case "number":
      // RFC 8785 writes numbers as ECMAScript does; -0 is 0.
      return Number.isFinite(value) ? JSON.stringify(value) : String(value);
    case "boolean":
    case "undefined":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "object":
      return value === null ? "null" : canonicalObject(value, path, around);
    default:
      throw invalidArgument(path, value, allowed);
  }
}

function canonicalObject(value: object, path: string, around: Set<object>): string {
  if (around.has(value)) throw invalidArgument(path, value, `${allowed}; this one contains itself`);
  if (around.size >= deepest) throw invalidArgument(path, value, `at most ${deepest} levels`);
  around.add(value);
  try {
    if (ArrayBuffer.isView(value)) {
      return `bytes(${toBase64Url(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))})`;
    }
    if (value instanceof ArrayBuffer) return `bytes(${toBase64Url(new Uint8Array(value))})`;
    if (Array.isArray(value)) {
      return `[${Array.from(value, (item, i) => canonical(item ?? null, `${path}[${i}]`, around)).join(",")}]`;
    }
    if (value instanceof Map) {
      const entries = [...value].map((entry) => canonical(entry, `${path} (an entry of the map)`, around));
      return `map(${entries.sort().join(",")})`;
    }
    if (value instanceof Set) {
      const items = [...value].map((item) => canonical(item, `${path} (an item of the set)`, around));
      return `set(${items.sort().join(",")})`;
    }
    const { toJSON } = value as { readonly toJSON?: unknown };
    if (typeof toJSON === "function") return canonical(toJSON.call(value, ""), path, around);
    return canonicalProperties(value as Readonly<Record<string, unknown>>, path, around);
  } finally {
    around.delete(value);
  }
}

/** RFC 8785, section 3.2.3: by UTF-16 code units, which is how `sort` compares. */
function canonicalProperties(value: Readonly<Record<string, unknown>>, path: string, around: Set<object>): string {
  const parts: string[] = [];
  for (const name of Object.keys(value).sort()) {
    const item = value[name];
    if (item === undefined) continue;
    parts.push(`${canonical(name, `${path} (a name)`, around)}:${canonical(item, `${path}.${name}`, around)}`);
  }
  return `{${parts.join(",")}}`;
}
