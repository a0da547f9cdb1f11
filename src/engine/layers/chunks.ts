import { crc32 } from "node:zlib";
import { CorruptionError, concat, invalidArgument } from "../../core/index.ts";

/** What a put accepts. */
export type BlobSource = Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** The bytes of the source in pieces of exactly `size`, but for the last one. The pieces are copies: the source may be changed afterwards. */
export async function* cut(source: BlobSource, size: number): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(size);
  let filled = 0;
  for await (const part of partsOf(source)) {
    if (!(part instanceof Uint8Array)) throw invalidArgument("data", part, notBytes);
    for (let at = 0; at < part.length; ) {
      const taken = Math.min(size - filled, part.length - at);
      piece.set(part.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < size) continue;
      yield piece;
      piece = new Uint8Array(size);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** @throws InvalidArgumentError neither bytes nor a source of bytes */
export function assertSource(data: unknown): asserts data is BlobSource {
  if (data instanceof Uint8Array) return;
  if (typeof data === "object" && data !== null && Symbol.asyncIterator in data) return;
  throw invalidArgument("data", data, notBytes);
}

/** A chunk as it is stored: its CRC-32, then its bytes. */
export function seal(bytes: Uint8Array): Uint8Array {
  const checksum = new Uint8Array(4);
  new DataView(checksum.buffer).setUint32(0, crc32(bytes));
  return concat(checksum, bytes);
}

/** @throws CorruptionError the bytes are not those that were stored */
export function unseal(sealed: unknown, name: string): Uint8Array<ArrayBuffer> {
  if (sealed instanceof Uint8Array && sealed.length >= 4) {
    const bytes = new Uint8Array(sealed.subarray(4));
    if (new DataView(sealed.buffer, sealed.byteOffset).getUint32(0) === crc32(bytes)) return bytes;
  }
  throw new CorruptionError(`${name}: the bytes stored do not match their checksum; restore the object from a copy`);
}

const notBytes = "a Uint8Array, or an async iterable or ReadableStream of them";

async function* partsOf(source: BlobSource): AsyncIterable<unknown> {
  if (source instanceof Uint8Array) yield source;
  else yield* source as AsyncIterable<unknown>;
}
