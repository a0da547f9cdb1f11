import type { Key, KeyPart, KeyRange } from "../core/index.ts";

/** Objects of any size, checksummed; replaced atomically. */
export interface Blobs {
  /**
   * Stores the bytes under the key, replacing what was there when all of them have arrived: readers see the old object or the new one.
   * @throws ConflictError `ifMatch` names another etag than the present one (`null`: absent)
   */
  put(
    key: Key,
    data: Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
    options?: BlobPutOptions,
  ): Promise<BlobInfo>;
  /**
   * The object, its bytes as a stream with backpressure; `undefined` if absent.
   * @throws InvalidArgumentError the range starts at or after the object's end
   * @throws CorruptionError (while streaming) bytes do not match their checksum
   */
  get(key: Key, options?: BlobGetOptions): Promise<StoredBlob | undefined>;
  /** The object's description without its bytes. */
  head(key: Key, options?: { readonly signal?: AbortSignal }): Promise<BlobInfo | undefined>;
  list(
    range: KeyRange,
    options?: { readonly limit?: number; readonly reverse?: boolean; readonly signal?: AbortSignal },
  ): AsyncIterableIterator<BlobInfo>;
  /** Removes the object; resolves with whether it existed. */
  delete(key: Key, options?: { readonly ifMatch?: string; readonly signal?: AbortSignal }): Promise<boolean>;
}

export interface BlobPutOptions {
  /** Replace only the object with this etag; `null`: only if absent. */
  readonly ifMatch?: string | null;
  /** Small description kept with the object: at most 8 KiB encoded. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface BlobGetOptions {
  /** Bytes `start` to `end` (exclusive; default: the end). */
  readonly range?: { readonly start: number; readonly end?: number };
  readonly signal?: AbortSignal;
}

export interface BlobInfo {
  readonly key: KeyPart[];
  /** Bytes. */
  readonly size: number;
  /** Changes with each `put`. */
  readonly etag: string;
  /** SHA-256 of the whole object, hexadecimal. */
  readonly sha256: string;
  /** When it was put: the engine's clock, milliseconds since the epoch, to within about a second. */
  readonly modified: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StoredBlob extends BlobInfo {
  /** The bytes asked for; may be consumed once. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** All the bytes at once. */
  bytes(): Promise<Uint8Array>;
}
