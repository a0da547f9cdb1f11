import { CorruptionError } from "../../core/index.ts";
import type { Field } from "./client.ts";

/**
 * Arrays in the server's binary format (array_recv in its sources): number of dimensions, whether there are NULLs, type of the elements,
 * length, lower bound; then each element after its length, -1 for NULL. `pg` sends a Buffer as it is and marks it as binary, so nothing
 * is turned into text and back.
 */
const headerBytes = 20;
const emptyBytes = 12;
const nullLength = -1;

/** Type numbers of the catalogue: fixed in all versions. */
const byteaType = 17;
const int4Type = 23;
const float8Type = 701;

/** Elements that are `undefined` become NULL. */
export function byteaArray(items: readonly (Uint8Array | undefined)[]): Buffer {
  let size = headerBytes + 4 * items.length;
  for (const item of items) size += item?.length ?? 0;
  const buffer = Buffer.allocUnsafe(size);
  let at = writeHeader(buffer, byteaType, items.length);
  for (const item of items) {
    at = buffer.writeInt32BE(item?.length ?? nullLength, at);
    if (item === undefined) continue;
    buffer.set(item, at);
    at += item.length;
  }
  return buffer.subarray(0, at);
}

/** Elements that are `undefined` become NULL. */
export function int4Array(items: readonly (number | undefined)[]): Buffer {
  const buffer = Buffer.allocUnsafe(headerBytes + 8 * items.length);
  let at = writeHeader(buffer, int4Type, items.length);
  for (const item of items) {
    at = buffer.writeInt32BE(item === undefined ? nullLength : 4, at);
    if (item !== undefined) at = buffer.writeInt32BE(item, at);
  }
  return buffer.subarray(0, at);
}

/** Elements that are `undefined` become NULL. Safe integers are exact. */
export function float8Array(items: readonly (number | undefined)[]): Buffer {
  const buffer = Buffer.allocUnsafe(headerBytes + 12 * items.length);
  let at = writeHeader(buffer, float8Type, items.length);
  for (const item of items) {
    at = buffer.writeInt32BE(item === undefined ? nullLength : 8, at);
    if (item !== undefined) at = buffer.writeDoubleBE(item, at);
  }
  return buffer.subarray(0, at);
}

/** The array, or NULL if it says nothing: for parts that most flushes do not have. */
export function orNull<T>(items: readonly T[], encode: (items: readonly T[]) => Buffer): Buffer | null {
  return items.every((item) => item === undefined) ? null : encode(items);
}

/** A `bytea` as text: "\x" and hexadecimal digits. */
export function parseBytea(text: Field | undefined): Uint8Array {
  if (!text?.startsWith("\\x")) {
    throw new CorruptionError(
      "the server sent bytes in another form than hexadecimal; its setting bytea_output must be hex, the default",
    );
  }
  return fromDigits(text.slice(2));
}

/** A `bytea[]` as text: elements in quotes, their backslash doubled. NULL is an empty array. */
export function parseByteaArray(text: Field | undefined): Uint8Array[] {
  return elementsOf(text).map((element) =>
    fromDigits(element.slice(element.indexOf("x") + 1, element.endsWith('"') ? -1 : undefined)),
  );
}

/** A `bigint[]` as text; NULLs become `undefined`. */
export function parseIntegers(text: Field | undefined): (number | undefined)[] {
  return elementsOf(text).map((element) => (element === "NULL" ? undefined : Number(element)));
}

function elementsOf(text: Field | undefined): string[] {
  return !text || text === "{}" ? [] : text.slice(1, -1).split(",");
}

/** Plain bytes rather than a Buffer: to callers it makes no difference which engine they came from. */
function fromDigits(digits: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(digits, "hex");
  return new Uint8Array(buffer, byteOffset, length);
}

function writeHeader(buffer: Buffer, elementType: number, length: number): number {
  buffer.writeInt32BE(length === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(1, 4);
  buffer.writeInt32BE(elementType, 8);
  if (length === 0) return emptyBytes;
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(1, 16);
  return headerBytes;
}
