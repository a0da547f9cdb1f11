import { compareBytes, copyBytes, toHex } from "./bytes.ts";
import { CorruptionError, invalidArgument } from "./errors.ts";
import { readUtf8, writeUtf8 } from "./utf8.ts";

/** A part of a key. Numbers are safe integers; 5 and 5n are the same part. Strings are well-formed (no lone surrogates). */
export type KeyPart = string | number | bigint | boolean | Uint8Array;

/** A key: a tuple. Ordered part by part: bytes < strings (by code point) < integers < false < true; a tuple comes before those it begins. */
export type Key = readonly KeyPart[];

/*
 * The encoding is that of FoundationDB's tuple layer (apple/foundationdb, design/tuple.md) for these types: byte order is tuple order.
 *
 *   0x01 bytes 0x00        bytes, each 0x00 in them written as 0x00 0xFF
 *   0x02 utf-8 0x00        string, likewise
 *   0x0B n' magnitude'     integer below -(2^64 - 1): n bytes; n and magnitude complemented
 *   0x0C … 0x13 magnitude' negative integer of 8 … 1 bytes, complemented
 *   0x14                   0
 *   0x15 … 0x1C magnitude  positive integer of 1 … 8 bytes, big-endian, the shortest that hold it
 *   0x1D n magnitude       integer above 2^64 - 1: n bytes
 *   0x26, 0x27             false, true
 */
const BYTES = 0x01;
const STRING = 0x02;
const LARGE_NEGATIVE = 0x0b;
const ZERO = 0x14;
const LARGE_POSITIVE = 0x1d;
const FALSE = 0x26;
const TRUE = 0x27;

const LARGEST_INTEGER = 2n ** (255n * 8n) - 1n;

/** Up to this length, a loop over the characters beats a call into native code. */
const SHORT_STRING = 32;

/** What a writer returns for a part that has no encoding. */
const INVALID = -1;

const SCRATCH_BYTES = 4096;
const LARGEST_SCRATCH_KEPT = 65_536;

/** Where keys are put together before they are copied out. */
let scratch = new Uint8Array(SCRATCH_BYTES);

/**
 * The key's bytes, after the bytes of `prefix`: a fresh array whose order among others is the order of the tuples.
 * @param name the argument's name as its caller knows it, for the message
 * @throws InvalidArgumentError a part that is no `KeyPart`, by its index: NaN, 1.5, a lone surrogate, an integer of more than 255 bytes
 */
export function encodeKey(key: Key, prefix?: Uint8Array, name = "key"): Uint8Array {
  if (!Array.isArray(key)) throw invalidArgument(name, key, "an array of strings, integers, booleans and bytes");
  let at = 0;
  if (prefix !== undefined) {
    reserve(0, prefix.length);
    scratch.set(prefix);
    at = prefix.length;
  }
  for (let i = 0; i < key.length; i++) {
    at = writePart(key[i], at);
    if (at === INVALID) throw invalidArgument(`${name}[${i}]`, key[i], allowedParts);
  }
  const encoded = copyBytes(scratch, 0, at);
  if (scratch.length > LARGEST_SCRATCH_KEPT) scratch = new Uint8Array(SCRATCH_BYTES);
  return encoded;
}

const allowedParts =
  "a string without lone surrogates, a safe integer, a bigint of up to 255 bytes, a boolean or a Uint8Array";

/** Makes room for `more` bytes after the `used` ones. */
function reserve(used: number, more: number): void {
  if (used + more <= scratch.length) return;
  const larger = new Uint8Array(Math.max(used + more, scratch.length * 2));
  larger.set(scratch.subarray(0, used));
  scratch = larger;
}

/** Writes the part at `at` and returns the position after it, or INVALID. */
function writePart(part: unknown, at: number): number {
  if (typeof part === "string") return writeString(part, at);
  if (typeof part === "number") return writeNumber(part, at);
  if (typeof part === "bigint") return writeBigInt(part, at);
  if (part instanceof Uint8Array) return writeBytes(part, at);
  if (typeof part !== "boolean") return INVALID;
  reserve(at, 1);
  scratch[at] = part ? TRUE : FALSE;
  return at + 1;
}

function writeString(text: string, start: number): number {
  const length = text.length;
  // A UTF-16 unit takes 3 bytes at most, U+0000 takes 2.
  reserve(start, 3 * length + 2);
  const target = scratch;
  let at = start;
  target[at++] = STRING;
  if (length > SHORT_STRING) return writeLongString(text, at);
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0 || unit > 0x7f) return writeLongString(text, start + 1);
    target[at++] = unit;
  }
  target[at++] = 0;
  return at;
}

function writeLongString(text: string, start: number): number {
  if (!text.isWellFormed()) return INVALID;
  const end = start + writeUtf8(scratch, text, start);
  return terminate(start, end);
}

function writeBytes(bytes: Uint8Array, start: number): number {
  reserve(start, 2 * bytes.length + 2);
  scratch[start] = BYTES;
  scratch.set(bytes, start + 1);
  return terminate(start + 1, start + 1 + bytes.length);
}

/** Escapes the zero bytes in [start, end) and puts the terminator behind. Room for it is there. */
function terminate(start: number, end: number): number {
  const target = scratch;
  // A sentinel, so that the search ends here.
  target[end] = 0;
  let zeros = 0;
  for (let i = target.indexOf(0, start); i < end; i = target.indexOf(0, i + 1)) zeros++;
  let to = end + zeros;
  for (let from = end - 1; to > from + 1; from--) {
    const byte = target[from] as number;
    if (byte === 0) target[--to] = 0xff;
    target[--to] = byte;
  }
  target[end + zeros] = 0;
  return end + zeros + 1;
}

function writeNumber(value: number, start: number): number {
  if (!Number.isSafeInteger(value)) return INVALID;
  reserve(start, 9);
  const target = scratch;
  const negative = value < 0;
  const mask = negative ? 0xff : 0;
  let magnitude = negative ? -value : value;
  const length = byteLength(magnitude);
  target[start] = negative ? ZERO - length : ZERO + length;
  const end = start + 1 + length;
  let at = end;
  for (; magnitude > 0xffffffff; magnitude = Math.floor(magnitude / 256)) target[--at] = (magnitude % 256) ^ mask;
  for (; magnitude > 0; magnitude >>>= 8) target[--at] = (magnitude & 0xff) ^ mask;
  return end;
}

/** Bytes that hold the magnitude; 0 for 0. */
function byteLength(magnitude: number): number {
  if (magnitude > 0xffffffff) return magnitude < 2 ** 40 ? 5 : magnitude < 2 ** 48 ? 6 : 7;
  if (magnitude > 0xffff) return magnitude > 0xffffff ? 4 : 3;
  return magnitude > 0xff ? 2 : magnitude > 0 ? 1 : 0;
}

function writeBigInt(value: bigint, start: number): number {
  const magnitude = value < 0n ? -value : value;
  if (magnitude <= Number.MAX_SAFE_INTEGER) return writeNumber(Number(value), start);
  if (magnitude > LARGEST_INTEGER) return INVALID;
  let digits = magnitude.toString(16);
  if (digits.length % 2 === 1) digits = `0${digits}`;
  const length = digits.length / 2;
  reserve(start, length + 2);
  const mask = value < 0n ? 0xff : 0;
  let at = start;
  if (length <= 8) {
    scratch[at++] = value < 0n ? ZERO - length : ZERO + length;
  } else {
    scratch[at++] = value < 0n ? LARGE_NEGATIVE : LARGE_POSITIVE;
    scratch[at++] = length ^ mask;
  }
  for (let i = 0; i < digits.length; i += 2) scratch[at++] = Number.parseInt(digits.slice(i, i + 2), 16) ^ mask;
  return at;
}

/**
 * The parts of an encoded key, from `offset` on (default 0): the reverse of `encodeKey`. Integers come back as numbers
 * where they are safe, as bigints beyond.
 * @throws CorruptionError not what `encodeKey` writes
 */
export function decodeKey(bytes: Uint8Array, offset = 0): KeyPart[] {
  const reader: Reader = { bytes, at: offset };
  const parts: KeyPart[] = [];
  while (reader.at < bytes.length) parts.push(readPart(reader));
  return parts;
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

function corrupt(reader: Reader, what: string): CorruptionError {
  const shown = toHex(reader.bytes.subarray(0, 64)) + (reader.bytes.length > 64 ? "…" : "");
  return new CorruptionError(
    `an encoded key has ${what} before byte ${reader.at} (of ${reader.bytes.length}: ${shown})`,
  );
}

function readPart(reader: Reader): KeyPart {
  const code = reader.bytes[reader.at++] as number;
  if (code === STRING) return readString(reader);
  if (code > LARGE_NEGATIVE && code < LARGE_POSITIVE) return readInteger(reader, code - ZERO);
  switch (code) {
    case BYTES:
      return readBytes(reader);
    case FALSE:
      return false;
    case TRUE:
      return true;
    case LARGE_NEGATIVE:
    case LARGE_POSITIVE:
      return readLargeInteger(reader, code === LARGE_NEGATIVE);
    default:
      throw corrupt(reader, `the unknown type code 0x${code.toString(16).padStart(2, "0")}`);
  }
}

function readString(reader: Reader): string {
  const { bytes, at: start } = reader;
  const end = findZero(bytes, start);
  const plain = end >= 0 && bytes[end + 1] !== 0xff;
  const text = plain ? readUtf8(bytes, start, end) : readEscapedText(reader);
  if (text === undefined) throw corrupt(reader, "a string that is not UTF-8");
  if (plain) reader.at = end + 1;
  return text;
}

function readEscapedText(reader: Reader): string | undefined {
  const utf8 = readEscaped(reader);
  return readUtf8(utf8, 0, utf8.length);
}

/** Like `indexOf(0, start)`, which costs more than a few steps of a loop. */
function findZero(bytes: Uint8Array, start: number): number {
  const near = Math.min(bytes.length, start + SHORT_STRING);
  for (let i = start; i < near; i++) if (bytes[i] === 0) return i;
  return bytes.indexOf(0, near);
}

function readBytes(reader: Reader): Uint8Array {
  const content = readEscaped(reader);
  return copyBytes(content, 0, content.length);
}

/** The unescaped content up to the terminator; a view if nothing was escaped. */
function readEscaped(reader: Reader): Uint8Array {
  const { bytes, at: start } = reader;
  let end = bytes.indexOf(0, start);
  if (end < 0) throw corrupt(reader, "a string or bytes without an end");
  if (bytes[end + 1] !== 0xff) {
    reader.at = end + 1;
    return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
  }
  const content = new Uint8Array(bytes.length - start);
  let length = 0;
  for (let from = start; ; from = end + 2, end = bytes.indexOf(0, from)) {
    if (end < 0) throw corrupt(reader, "a string or bytes without an end");
    const escaped = bytes[end + 1] === 0xff;
    content.set(bytes.subarray(from, escaped ? end + 1 : end), length);
    length += end - from + (escaped ? 1 : 0);
    if (escaped) continue;
    reader.at = end + 1;
    return content.subarray(0, length);
  }
}

/** `signedLength`: bytes, negative for a negative integer. */
function readInteger(reader: Reader, signedLength: number): number | bigint {
  const { bytes, at: start } = reader;
  const negative = signedLength < 0;
  const length = negative ? -signedLength : signedLength;
  const mask = negative ? 0xff : 0;
  if (start + length > bytes.length) throw corrupt(reader, "an integer that is cut off");
  if (length > 0 && bytes[start] === mask) throw corrupt(reader, "an integer with a leading zero");
  reader.at = start + length;
  let magnitude = 0;
  for (let i = start; i < start + length; i++) magnitude = magnitude * 256 + ((bytes[i] as number) ^ mask);
  if (magnitude <= Number.MAX_SAFE_INTEGER) return negative ? -magnitude : magnitude;
  return toBigInt(bytes, start, length, negative);
}

function readLargeInteger(reader: Reader, negative: boolean): bigint {
  const { bytes } = reader;
  const mask = negative ? 0xff : 0;
  const length = (bytes[reader.at++] ?? mask) ^ mask;
  const start = reader.at;
  if (start + length > bytes.length) throw corrupt(reader, "an integer that is cut off");
  if (length <= 8 || bytes[start] === mask) throw corrupt(reader, "an integer that is not in its shortest form");
  reader.at = start + length;
  return toBigInt(bytes, start, length, negative);
}

function toBigInt(bytes: Uint8Array, start: number, length: number, negative: boolean): bigint {
  const digits = copyBytes(bytes, start, start + length);
  if (negative) for (let i = 0; i < length; i++) digits[i] = ~(digits[i] as number);
  const magnitude = BigInt(`0x${toHex(digits)}`);
  return negative ? -magnitude : magnitude;
}

/** Tuple order: negative, 0 or positive. Equal to the order of the encoded bytes. Both must be valid keys. */
export function compareKeys(a: Key, b: Key): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareParts(a[i] as KeyPart, b[i] as KeyPart);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareParts(a: KeyPart, b: KeyPart): number {
  const order = rank(a) - rank(b);
  if (order !== 0) return order;
  if (typeof a === "string") return compareCodePoints(a, b as string);
  if (typeof a === "object") return compareBytes(a, b as Uint8Array);
  return a < b ? -1 : a > b ? 1 : 0;
}

function rank(part: KeyPart): number {
  switch (typeof part) {
    case "object":
      return 0;
    case "string":
      return 1;
    case "boolean":
      return 3;
    default:
      return 2;
  }
}

/**
 * Order by code point, where JavaScript's `<` compares UTF-16 units: the two differ only for a surrogate
 * (0xD800 to 0xDFFF, part of a code point above 0xFFFF) against a unit from 0xE000 on.
 */
function compareCodePoints(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xAstral = x >= 0xd800 && x <= 0xdfff;
    const yAstral = y >= 0xd800 && y <= 0xdfff;
    return xAstral === yAstral ? x - y : xAstral ? 1 : -1;
  }
  return a.length - b.length;
}

const NAME_CHARACTERS = 100;

/** The key for people, in messages: `["user", 42]`, shortened to about 100 characters. */
export function keyName(key: Key): string {
  const parts: string[] = [];
  let length = 2;
  for (const part of key) {
    const text = partName(part);
    length += text.length + 2;
    if (length > NAME_CHARACTERS) {
      parts.push("…");
      break;
    }
    parts.push(text);
  }
  return `[${parts.join(", ")}]`;
}

function partName(part: KeyPart): string {
  if (typeof part === "string") return shorten(JSON.stringify(part.slice(0, NAME_CHARACTERS)));
  if (part instanceof Uint8Array) return `0x${shorten(toHex(part.subarray(0, NAME_CHARACTERS)))}`;
  if (typeof part === "bigint") return `${shorten(part.toString())}n`;
  return String(part);
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 59).toWellFormed()}…`;
}
