import { Packr } from "msgpackr";
import { copyBytes } from "./bytes.ts";
import { CorruptionError, invalidArgument } from "./errors.ts";

/** First byte of an encoded integer. MessagePack never uses it. */
export const INTEGER_TAG = 0xc1;
const packr = new Packr({ structuredClone: true, moreTypes: true, copyBuffers: true });

/** A safe integer as engines store it to do arithmetic: INTEGER_TAG, then 8 bytes of two's complement, big-endian. */
export function encodeInteger(value: number): Uint8Array {
  if (!Number.isSafeInteger(value)) throw invalidArgument("value", value, "a safe integer");
  const bytes = new Uint8Array(9);
  bytes[0] = INTEGER_TAG;
  new DataView(bytes.buffer).setBigInt64(1, BigInt(value));
  return bytes;
}

/** The integer, or `undefined` if the bytes encode something else. */
export function decodeInteger(bytes: Uint8Array): number | undefined {
  if (bytes.length !== 9 || bytes[0] !== INTEGER_TAG) return undefined;
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 9).getBigInt64(1));
}

export function encodeValue(value: unknown): Uint8Array {
  if (value === undefined) throw invalidArgument("value", value, "anything structured-cloneable but undefined");
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return encodeInteger(value as number);
  const packed = packr.pack(value);
  return copyBytes(packed, 0, packed.length);
}

export function decodeValue(bytes: Uint8Array): unknown {
  const integer = decodeInteger(bytes);
  if (integer !== undefined) return integer;
  try {
    return packr.unpack(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch (cause) {
    throw new CorruptionError("an encoded value that makes no sense", { cause });
  }
}
