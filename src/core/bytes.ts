import { CorruptionError } from "./errors.ts";
import { readUtf8 } from "./utf8.ts";

/** Methods of `Buffer` that work on any `Uint8Array` and that its public types leave out. */
interface NativeBytes {
  latin1Write(this: Uint8Array, text: string, offset: number, length: number): number;
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  hexSlice(this: Uint8Array, start: number, end: number): string;
}

const native = Buffer.prototype as unknown as NativeBytes;

/** All the bytes, one after another, in a fresh array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

/** Bytewise order, as `Buffer.compare`: negative, 0 or positive; a prefix comes before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** Whether both hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return native.hexSlice.call(bytes, 0, bytes.length);
}

/** @throws CorruptionError not pairs of hexadecimal digits */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[\da-f]{2})*$/i.test(text))
    throw new CorruptionError("hexadecimal text with other characters, or of odd length");
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** RFC 4648 base64url without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("base64url");
}

/** @throws CorruptionError not base64url as `toBase64Url` writes it */
export function fromBase64Url(text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new CorruptionError("text that is not base64url without padding");
  return new Uint8Array(bytes);
}

/** UTF-8; lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

/** @throws CorruptionError not UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  const text = readUtf8(bytes, 0, bytes.length);
  if (text === undefined) throw new CorruptionError(`${bytes.length} bytes that are not UTF-8`);
  return text;
}

/** One character per byte (U+0000 to U+00FF): a key for a `Map`, in an order equal to the order of the bytes. */
export function toBinaryString(bytes: Uint8Array): string {
  return native.latin1Slice.call(bytes, 0, bytes.length);
}

/** The reverse of `toBinaryString`. The characters must be below U+0100. */
export function fromBinaryString(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  native.latin1Write.call(bytes, text, 0, text.length);
  return bytes;
}

/** The same memory as a `Buffer`. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const LARGEST_ON_HEAP = 64;
const SLAB = 8192;
const LARGEST_IN_SLAB = SLAB / 4;

let slab = new ArrayBuffer(SLAB);
let slabUsed = 0;

/**
 * A copy of `source[start, end)` that nobody else will ever write to. V8 keeps arrays of up to 64 bytes on its own heap; beyond that each
 * array costs its own allocation (about 400 ns), so copies up to 2 KiB share slabs of 8 KiB, as `Buffer`'s pool does. Such a copy
 * keeps its slab alive and does not fill its `buffer`: use `ownBytes` before a transfer to another thread.
 */
export function copyBytes(source: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length <= LARGEST_ON_HEAP || length > LARGEST_IN_SLAB) return freshCopy(source, start, end);
  if (slabUsed + length > SLAB) {
    slab = new ArrayBuffer(SLAB);
    slabUsed = 0;
  }
  const copy = new Uint8Array(slab, slabUsed, length);
  // Keeps the next copy word-aligned.
  slabUsed = (slabUsed + length + 7) & ~7;
  copy.set(start === 0 && end === source.length ? source : source.subarray(start, end));
  return copy;
}

/** As `Uint8Array`'s own `slice`, for `Buffer`s too, whose `slice` is a view of the same memory. */
function freshCopy(source: Uint8Array, start: number, end: number): Uint8Array {
  if (source.constructor === Uint8Array) return source.slice(start, end);
  const copy = new Uint8Array(end - start);
  copy.set(source.subarray(start, end));
  return copy;
}

/** A copy that fills its own `ArrayBuffer`: safe to hand to another thread by transfer. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
