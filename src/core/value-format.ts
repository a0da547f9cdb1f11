import { endianness } from "node:os";

/*
 * Encoded values are MessagePack (github.com/msgpack/msgpack, spec.md), one value per array of bytes:
 *
 *   null, booleans, strings        as there
 *   numbers                        integers of up to 32 bits as the shortest integer; all others, -0 among them, as float 64
 *   Uint8Array                     bin
 *   arrays                         array
 *   objects                        map with string keys, in the order of `Object.keys`
 *   anything else                  an extension, see `extension`
 *
 * with one addition: an integer that is the whole value is INTEGER_TAG and 8 bytes (see `encodeInteger`), so that engines can
 * find it and do arithmetic on it. Objects are numbered from 0 in the order in which their encodings begin; a repeated one is a reference
 * to that number, so cycles and identity survive.
 */

/** First byte of an integer that is the whole value. MessagePack never uses it. */
export const INTEGER_TAG = 0xc1;

/** Levels of objects within objects. Deeper values are refused, so that no value can exhaust the stack. */
export const DEEPEST = 500;

/** Bytes of one encoded value. What is larger belongs into a blob. */
export const LARGEST_VALUE = 64 * 1024 * 1024;

/** MessagePack's type bytes. */
export const token = {
  fixmap: 0x80,
  fixarray: 0x90,
  fixstr: 0xa0,
  nil: 0xc0,
  false: 0xc2,
  true: 0xc3,
  bin8: 0xc4,
  bin16: 0xc5,
  bin32: 0xc6,
  ext8: 0xc7,
  ext32: 0xc9,
  float64: 0xcb,
  uint8: 0xcc,
  uint16: 0xcd,
  uint32: 0xce,
  int8: 0xd0,
  int16: 0xd1,
  int32: 0xd2,
  fixext1: 0xd4,
  fixext4: 0xd6,
  fixext8: 0xd7,
  str8: 0xd9,
  str16: 0xda,
  str32: 0xdb,
  array16: 0xdc,
  array32: 0xdd,
  map16: 0xde,
  map32: 0xdf,
  negative: 0xe0,
} as const;

/** Types of our extensions, and what their data is. "Values" are encoded values one after another. */
export const extension = {
  /** fixext 1: a zero byte. */
  undefined: 0x00,
  /** fixext 4: the number of the object meant. */
  reference: 0x50,
  /** fixext 8 or ext 32: two's complement, big-endian. */
  bigint: 0x42,
  /** fixext 8: milliseconds since the epoch as float 64, NaN for an invalid date. */
  date: 0x44,
  /** ext 32: an array header, then keys and values in turn. */
  map: 0x4d,
  /** ext 32: an array header, then the members. */
  set: 0x53,
  /** ext 32: the values name, message, whether there is a cause, and the cause if so. */
  error: 0x45,
  /** ext 32: the values source and flags. */
  regexp: 0x52,
  /** ext 32: the primitive as a value. */
  boxed: 0x4f,
  /** ext 32: one byte, the index into `binaryKinds`; then the bytes, little-endian. */
  binary: 0x54,
} as const;

/** Kinds of `extension.binary`, by index: never reorder. */
export const binaryKinds: readonly string[] = [
  "ArrayBuffer",
  "DataView",
  "Int8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
];

/** Whether typed arrays lie in memory as they are stored. */
export const littleEndian = endianness() === "LE";
