import { invalidArgument } from "./errors.ts";
import { ValueDecoder } from "./value-decoder.ts";
import { ValueEncoder } from "./value-encoder.ts";
import { INTEGER_TAG } from "./value-format.ts";

export { INTEGER_TAG };

const INTEGER_BYTES = 9;
const TWO_TO_32 = 2 ** 32;

const sharedEncoder = new ValueEncoder();
let sharedEncoderBusy = false;
const decoder = new ValueDecoder();

/** A value that has been encoded already: `encodeValue`, and so whatever stores a value, takes it for the value. For those who must know a size before they store. */
export class Encoded {
  readonly bytes: Uint8Array;

  /** @throws as `encodeValue` */
  constructor(value: unknown, name = "value") {
    this.bytes = encodeValue(value, name);
  }
}

/**
 * A value as stored bytes: the same for all engines, blocks and processes. The bytes are a copy; changing the value later has no effect.
 *
 * Accepts what `structuredClone` accepts and brings it back the same, identity of repeated objects and cycles included, with these
 * limits: class instances become plain objects of their own enumerable properties (`toJSON` is not asked); holes in arrays become
 * `undefined`; properties of arrays, dates, maps and the like besides their content are dropped; a `Buffer` comes back as `Uint8Array`; a
 * view is stored with the bytes that it shows, not with its whole buffer; an error keeps name, message and cause, not its stack.
 *
 * @param name the argument's name as its caller knows it, for messages
 * @throws InvalidArgumentError with the path (`value.items[3].run`): `undefined` as the whole value, functions, symbols, promises, weak
 *   collections, shared memory, built-in objects that hide their data (URL, Blob), lone surrogates, more than 500 levels
 * @throws LimitError more than 64 MiB
 */
export function encodeValue(value: unknown, name = "value"): Uint8Array {
  if (value instanceof Encoded) return value.bytes;
  if (typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0)) return encodeInteger(value);
  if (value === undefined)
    throw invalidArgument(name, value, "anything structured-cloneable but undefined; to remove, delete");
  if (sharedEncoderBusy) return new ValueEncoder().encode(value, name);
  sharedEncoderBusy = true;
  try {
    return sharedEncoder.encode(value, name);
  } finally {
    sharedEncoderBusy = false;
  }
}

/**
 * The value that `encodeValue` was given. It shares no memory with the bytes. A `Uint8Array` in it need not fill its `buffer`.
 * @throws CorruptionError not what `encodeValue` writes
 */
export function decodeValue(bytes: Uint8Array): unknown {
  const integer = decodeInteger(bytes);
  return integer === undefined ? decoder.decode(bytes) : integer;
}

/**
 * A safe integer as the whole of a value, in the form on which engines do arithmetic: INTEGER_TAG, then 8 bytes of
 * two's complement, big-endian. `encodeValue` writes such integers so.
 * @throws InvalidArgumentError not a safe integer
 */
export function encodeInteger(value: number): Uint8Array {
  if (!Number.isSafeInteger(value)) throw invalidArgument("value", value, "a safe integer");
  const bytes = new Uint8Array(INTEGER_BYTES);
  bytes[0] = INTEGER_TAG;
  writeHalf(bytes, 1, Math.floor(value / TWO_TO_32));
  writeHalf(bytes, 5, value);
  return bytes;
}

/** Writes the low 32 bits. */
function writeHalf(bytes: Uint8Array, at: number, value: number): void {
  // `|` takes the value modulo 2^32, exactly for safe integers.
  const half = value | 0;
  bytes[at] = half >>> 24;
  bytes[at + 1] = half >>> 16;
  bytes[at + 2] = half >>> 8;
  bytes[at + 3] = half;
}

/** The integer, or `undefined` if the bytes encode anything else (integers that are not safe among it). */
export function decodeInteger(bytes: Uint8Array): number | undefined {
  if (bytes.length !== INTEGER_BYTES || bytes[0] !== INTEGER_TAG) return undefined;
  const value = readHalf(bytes, 1) * TWO_TO_32 + (readHalf(bytes, 5) >>> 0);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** 32 bits as a signed integer. */
function readHalf(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number];
  return (a << 24) | (b << 16) | (c << 8) | d;
}
