const RENDERED_CHARACTERS = 80;

/** Names of arguments and parameters whose values never appear in messages. */
const secretName = /pass(word|wd|phrase)?$|secret|token|credential|authorization|api.?key|private.?key/i;

/**
 * A short description of a value for error messages, at most 80 characters: primitives as they are (strings quoted),
 * everything else by its kind and size, never by its contents. Passwords in URLs and in `password=…` parameters are replaced
 * by `***`; if `name` (the argument's name) sounds like a secret, only the type is shown.
 */
export function renderValue(value: unknown, name = ""): string {
  const text = secretName.test(name) && value !== undefined && value !== null ? kindOf(value) : render(value);
  return text.length <= RENDERED_CHARACTERS ? text : `${text.slice(0, RENDERED_CHARACTERS - 1).toWellFormed()}…`;
}

function render(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(withoutPasswords(value.slice(0, 1024))).slice(0, 2 * RENDERED_CHARACTERS);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return renderBigInt(value);
    case "boolean":
    case "undefined":
      return String(value);
    default:
      return kindOf(value);
  }
}

function renderBigInt(value: bigint): string {
  const size = 1n << 256n;
  return value < size && value > -size ? `${value}n` : "a bigint of more than 256 bits";
}

function withoutPasswords(text: string): string {
  return text.replace(/(:\/\/)[^/?#\s]*@/g, "$1***@").replace(/((?:password|secret|token)=)[^&\s]*/gi, "$1***");
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (value instanceof Uint8Array) return `a ${value.constructor.name} of ${value.byteLength} bytes`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) {
    return `an object with the keys ${Object.keys(value).slice(0, 8).join(", ") || "(none)"}`;
  }
  const made: unknown = (prototype as { constructor?: unknown }).constructor;
  return `an instance of ${typeof made === "function" && made.name !== "" ? made.name : "an unnamed class"}`;
}
