import { crc32 } from "node:zlib";
import { CorruptionError, invalidArgument } from "../../core/index.ts";

/**
 * What a sketch is written as, little-endian: "ASKT", a byte for the version of the format, a byte for the kind, parameters as doubles (their number in one byte), the length of the payload
 * in four bytes, the payload, and the CRC-32 (IEEE) of all before it. Stable: later releases read what earlier ones wrote.
 */
const magic = 0x544b5341;
const formatVersion = 1;

/** Never given to another kind. */
export const kinds = {
  bloom: 1,
  "blocked-bloom": 2,
  "counting-bloom": 3,
  cuckoo: 4,
  hyperloglog: 5,
  "count-min": 6,
  "t-digest": 7,
} as const;

export type SketchKind = keyof typeof kinds;

export function writeSketch(kind: SketchKind, parameters: readonly number[], payload: Uint8Array): Uint8Array {
  const head = 7 + 8 * parameters.length + 4;
  const bytes = new Uint8Array(head + payload.length + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint8(4, formatVersion);
  view.setUint8(5, kinds[kind]);
  view.setUint8(6, parameters.length);
  for (const [i, parameter] of parameters.entries()) view.setFloat64(7 + 8 * i, parameter, true);
  view.setUint32(head - 4, payload.length, true);
  bytes.set(payload, head);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, bytes.length - 4)), true);
  return bytes;
}

/**
 * The parameters and a copy of the payload.
 * @throws InvalidArgumentError these are no bytes of a sketch of this kind
 * @throws CorruptionError they were, and have been changed or cut off
 */
export function readSketch(
  kind: SketchKind,
  bytes: Uint8Array,
): { readonly parameters: readonly number[]; readonly payload: Uint8Array } {
  if (!(bytes instanceof Uint8Array)) throw invalidArgument("bytes", bytes, "bytes that `toBytes` of a sketch gave");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 15 || view.getUint32(0, true) !== magic)
    throw invalidArgument("bytes", `${bytes.length} bytes`, "bytes that `toBytes` of a sketch gave");
  if (view.getUint8(4) !== formatVersion)
    throw invalidArgument("bytes", `format ${view.getUint8(4)}`, `format ${formatVersion}: written by a later release`);
  const found = Object.entries(kinds).find(([, number]) => number === view.getUint8(5))?.[0] ?? "another kind";
  if (found !== kind) throw invalidArgument("bytes", `a sketch of ${found}`, `one of ${kind}`);
  const count = view.getUint8(6);
  const head = 7 + 8 * count + 4;
  const length = bytes.length >= head ? view.getUint32(head - 4, true) : -1;
  if (bytes.length !== head + length + 4 || view.getUint32(bytes.length - 4, true) !== crc32(bytes.subarray(0, -4)))
    throw new CorruptionError(`bytes: this sketch of ${kind} was changed or cut off since it was written`);
  const parameters = Array.from({ length: count }, (_, i) => view.getFloat64(7 + 8 * i, true));
  return { parameters, payload: bytes.slice(head, head + length) };
}

/** @throws CorruptionError the checksum is right and the content cannot be */
export function assertSound(sound: boolean, kind: SketchKind): asserts sound {
  if (!sound) throw new CorruptionError(`bytes: this sketch of ${kind} contradicts itself`);
}

/** @throws InvalidArgumentError two sketches that differ in a parameter cannot be merged */
export function assertSameParameters(
  own: Readonly<Record<string, number>>,
  other: Readonly<Record<string, number>>,
): void {
  for (const [name, value] of Object.entries(own))
    if (other[name] !== value)
      throw invalidArgument("other", `one with ${name} ${other[name]}`, `a sketch with the same ${name}, ${value}`);
}
