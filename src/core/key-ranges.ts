import { compareBytes, concat } from "./bytes.ts";
import { invalidArgument } from "./errors.ts";
import { encodeKey, type Key } from "./keys.ts";

/** The encoded keys `k` with `start <= k < end`, bytewise. Empty if `start` equals `end`; `start` is never above `end`. */
export interface ByteRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

/** Keys that begin with a tuple, or lie between two keys, or both: all the fields given must hold. No field: every key. */
export interface KeySpan {
  /** Keys that begin with this tuple and are longer than it. The empty tuple: every key. */
  readonly prefix?: Key;
  /** This key and those after it. A whole key, not relative to `prefix`. */
  readonly start?: Key;
  /** The keys after this one (those that begin with it among them). Not together with `start`. */
  readonly after?: Key;
  /** The keys before this one. */
  readonly end?: Key;
  readonly key?: never;
}

/** Some of the keys, in their order: a span, or one key alone. */
export type KeyRange = KeySpan | { readonly key: Key };

/** Follows an encoded tuple: at or before everything that begins with it and is longer. */
const FIRST = Uint8Array.of(0x00);
/** Follows an encoded tuple: after everything that begins with it, because no type code is 0xFF. */
const LAST = Uint8Array.of(0xff);

const allowedFields = "{ prefix?, start? or after?, end? } or { key }";

/**
 * The bytes between which the range's encoded keys lie, under the bytes of `prefix` (a namespace).
 * A range that holds nothing because its start is at or after its end is allowed.
 * @throws InvalidArgumentError an unknown field, `start` together with `after`, `key` together with another, a field that is no key
 */
export function encodeRange(range: KeyRange, prefix: Uint8Array = new Uint8Array(0)): ByteRange {
  if (typeof range !== "object" || range === null || Array.isArray(range))
    throw invalidArgument("range", range, allowedFields);
  checkFields(range);
  if (range.key !== undefined) {
    const key = encodeField("key", range.key, prefix);
    return { start: key, end: concat(key, FIRST) };
  }
  const whole = encodePrefix(range.prefix, prefix);
  const start = later(whole.start, encodeStart(range, prefix));
  const end = range.end === undefined ? whole.end : earlier(whole.end, encodeField("end", range.end, prefix));
  return compareBytes(start, end) < 0 ? { start, end } : { start, end: start };
}

function checkFields(range: KeyRange): void {
  for (const field in range) {
    switch (field) {
      case "prefix":
      case "start":
      case "after":
      case "end":
      case "key":
        break;
      default:
        throw invalidArgument(`range.${field}`, (range as Record<string, unknown>)[field], allowedFields);
    }
  }
  const { prefix, start, after, end } = range as KeySpan;
  if (start !== undefined && after !== undefined)
    throw invalidArgument("range", range, "either start or after, not both");
  if (range.key !== undefined && (prefix ?? start ?? after ?? end) !== undefined) {
    throw invalidArgument("range", range, "key alone, or the other fields without it");
  }
}

function encodePrefix(tuple: Key | undefined, prefix: Uint8Array): ByteRange {
  if (tuple === undefined) return { start: prefix, end: concat(prefix, LAST) };
  const begin = encodeField("prefix", tuple, prefix);
  return { start: tuple.length === 0 ? begin : concat(begin, FIRST), end: concat(begin, LAST) };
}

function encodeStart(range: KeySpan, prefix: Uint8Array): Uint8Array | undefined {
  if (range.start !== undefined) return encodeField("start", range.start, prefix);
  if (range.after !== undefined) return concat(encodeField("after", range.after, prefix), FIRST);
  return undefined;
}

function encodeField(name: string, key: Key, prefix: Uint8Array): Uint8Array {
  return encodeKey(key, prefix, `range.${name}`);
}

function later(a: Uint8Array, b: Uint8Array | undefined): Uint8Array {
  return b === undefined || compareBytes(a, b) >= 0 ? a : b;
}

function earlier(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, b) <= 0 ? a : b;
}
