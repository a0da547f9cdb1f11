import { crc32 } from "node:zlib";
import { asBuffer, CorruptionError, type Key, type KeyPart, keyName } from "../../core/index.ts";
import type { BlobInfo, Entry } from "../contract.ts";

/*
 * The keys of all objects of a store, in a namespace of their own.
 *
 *   "object", namespace…, key…     ObjectRecord: the description, with the bytes of a small object
 *   "chunk", id, index             Uint8Array: CRC-32 (big-endian), then up to `chunkBytes` bytes
 *   "upload", id                   UploadRecord: chunks may be there that no object refers to yet
 *   "garbage", due, id             GarbageRecord: chunks that no object refers to any more; may go from `due` on (engine's clock, ms)
 *
 * `id` is the object's etag. Invariant: each chunk is of an object, of an upload, or garbage, and the commit that makes it one ends it
 * being the other.
 */
export interface ObjectRecord {
  readonly etag: string;
  readonly size: number;
  readonly sha256: string;
  readonly modified: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** All the bytes, if they are few; then there are no chunks. */
  readonly inline?: Uint8Array;
  /** Bytes of each chunk but the last; 0 for an object without chunks. */
  readonly chunkBytes: number;
}

export interface UploadRecord {
  /** Chunks that may be there, at most. */
  readonly chunks: number;
  /** The engine's clock when the upload last made progress. */
  readonly at: number;
}

export interface GarbageRecord {
  /** Chunks from `from` to `chunks` (excluded) are to go. */
  readonly from: number;
  readonly chunks: number;
}

export const objectKey = (key: Key): Key => ["object", ...key];
export const chunkKey = (id: string, index: number): Key => ["chunk", id, index];
export const uploadKey = (id: string): Key => ["upload", id];
export const garbageKey = (due: number, id: string): Key => ["garbage", due, id];

/** Chunks of the object. */
export function chunkCount({ size, chunkBytes }: ObjectRecord): number {
  return chunkBytes === 0 ? 0 : Math.ceil(size / chunkBytes);
}

/** @throws CorruptionError what is stored is no description of an object */
export function readObject({ key, value }: Entry): ObjectRecord {
  const record = value as Partial<ObjectRecord> | null;
  const valid =
    typeof record === "object" &&
    record !== null &&
    typeof record.etag === "string" &&
    typeof record.sha256 === "string" &&
    Number.isSafeInteger(record.size) &&
    Number.isSafeInteger(record.chunkBytes) &&
    (record.chunkBytes === 0) === record.inline instanceof Uint8Array;
  if (!valid) throw new CorruptionError(`object ${keyName(key.slice(1))}: its description makes no sense`);
  return record as ObjectRecord;
}

export function toInfo(key: KeyPart[], { size, etag, sha256, modified, metadata }: ObjectRecord): BlobInfo {
  return { key, size, etag, sha256, modified, metadata };
}

/** Bytes before those of a chunk. */
export const chunkHead = 4;

/** Fills in the checksum of a chunk whose bytes are in place. */
export function sealChunk(chunk: Uint8Array, id: string, index: number): void {
  asBuffer(chunk).writeUInt32BE(checksum(chunk.subarray(chunkHead), id, index));
}

/** The bytes of a chunk, or `undefined` if they are not what was written as this chunk. */
export function openChunk(chunk: Uint8Array, id: string, index: number): Uint8Array | undefined {
  if (chunk.length < chunkHead) return undefined;
  const bytes = chunk.subarray(chunkHead);
  return asBuffer(chunk).readUInt32BE() === checksum(bytes, id, index) ? bytes : undefined;
}

/** Covers the chunk's place, so that a chunk of another object or place does not pass for it. */
function checksum(bytes: Uint8Array, id: string, index: number): number {
  return crc32(bytes, crc32(`${id}/${index}`));
}
