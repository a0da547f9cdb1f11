import { invalidArgument } from "../../core/index.ts";
import { isMediaType } from "./media-types.ts";
import { parseTimestamp } from "./timestamps.ts";

const largestInteger = 2 ** 31 - 1;
const smallestInteger = -(2 ** 31);

/** Control characters and what Unicode calls noncharacters (CloudEvents 1.0.2, Type System); lone surrogates are looked for apart. */
const disallowed =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
  /[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef]|[\ufffe\uffff]|[\u{1fffe}\u{1ffff}\u{2fffe}\u{2ffff}\u{3fffe}\u{3ffff}\u{4fffe}\u{4ffff}\u{5fffe}\u{5ffff}\u{6fffe}\u{6ffff}\u{7fffe}\u{7ffff}\u{8fffe}\u{8ffff}\u{9fffe}\u{9ffff}\u{afffe}\u{affff}\u{bfffe}\u{bffff}\u{cfffe}\u{cffff}\u{dfffe}\u{dffff}\u{efffe}\u{effff}\u{ffffe}\u{fffff}\u{10fffe}\u{10ffff}]/u;

/** RFC 3986: its characters, percent-encoding in pairs of digits, brackets and one # at most. */
const uriReference = /^(?:[\w\-.~:/?[\]@!$&'()*+,;=]|%[\da-f]{2})*(?:#(?:[\w\-.~:/?@!$&'()*+,;=]|%[\da-f]{2})*)?$/i;

/** Whether it is a name that an attribute may have. `data` and `data_base64` are none. */
export function isAttributeName(name: string): boolean {
  return /^[a-z\d]+$/.test(name) && name !== "data";
}

/** @throws InvalidArgumentError no name for an attribute */
export function checkExtensionName(name: string, path: string): void {
  if (!isAttributeName(name)) throw invalidArgument(path, name, "a name of small letters and digits, not data");
}

/** @throws InvalidArgumentError a value that CloudEvents does not allow for this attribute */
export function checkAttribute(name: string, value: unknown, path = `event.${name}`): void {
  const check = checks[name];
  if (check !== undefined) check(value, path);
  else checkExtension(value, path);
}

function checkExtension(value: unknown, path: string): void {
  if (typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isInteger(value) && value >= smallestInteger && value <= largestInteger) return;
    throw invalidArgument(path, value, "a whole number of 32 bits; larger or broken ones as text");
  }
  checkText(value, path);
}

function checkText(value: unknown, path: string): asserts value is string {
  if (typeof value !== "string") throw invalidArgument(path, value, "a text");
  if (!value.isWellFormed() || disallowed.test(value))
    throw invalidArgument(path, value, "a text without control characters, noncharacters and lone surrogates");
}

function checkSome(value: unknown, path: string): asserts value is string {
  checkText(value, path);
  if (value === "") throw invalidArgument(path, value, "a text that is not empty");
}

const checks: Readonly<Record<string, (value: unknown, path: string) => void>> = {
  __proto__: null as never,
  specversion: (value, path) => {
    if (value !== "1.0") throw invalidArgument(path, value, '"1.0"');
  },
  id: checkSome,
  type: checkSome,
  subject: checkSome,
  source: (value, path) => {
    checkSome(value, path);
    if (!uriReference.test(value)) throw invalidArgument(path, value, "a URI-reference (RFC 3986)");
  },
  dataschema: (value, path) => {
    checkSome(value, path);
    if (!uriReference.test(value) || !/^[a-z][a-z\d+.-]*:/i.test(value))
      throw invalidArgument(path, value, "an absolute URI (RFC 3986)");
  },
  time: (value, path) => {
    if (typeof value !== "string" || parseTimestamp(value) === undefined)
      throw invalidArgument(path, value, 'a time as RFC 3339 writes it, such as "2026-11-23T17:31:00Z"');
  },
  datacontenttype: (value, path) => {
    checkSome(value, path);
    if (!isMediaType(value)) throw invalidArgument(path, value, 'a media type, such as "application/json"');
  },
};
