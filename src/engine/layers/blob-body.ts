import { createHash, type Hash } from "node:crypto";
import {
  ConflictError,
  CorruptionError,
  InvalidStateError,
  type Key,
  keyName,
  raceAbort,
  throwIfAborted,
} from "../../core/index.ts";
import { chunkKey, type ObjectRecord, openChunk, readObject } from "./blob-records.ts";
import type { BlobContext } from "./blob-writer.ts";
import { retry } from "./retries.ts";

/** Which part of an object is to be read. */
export interface Part {
  readonly start: number;
  /** Excluded; at most the object's size. */
  readonly end: number;
}

/** The bytes of an object, to be read once, as a stream or at once. Every chunk is verified, and the whole too if the whole is read. */
export class BlobBody {
  readonly #pieces: () => AsyncGenerator<Uint8Array<ArrayBuffer>>;
  readonly #part: Part;
  #stream: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #claimed = false;

  /** @param key as in the store, for messages and to look the object up again */
  constructor(context: BlobContext, key: Key, object: ObjectRecord, part: Part, signal: AbortSignal | undefined) {
    this.#part = part;
    this.#pieces = () => new BodyReader(context, key, object, part, signal).pieces();
  }

  get stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#stream ??= this.#open();
    return this.#stream;
  }

  /** @throws InvalidStateError the bytes were, or are being, read already */
  async bytes(): Promise<Uint8Array> {
    if (this.#stream?.locked) throw alreadyRead();
    this.#claim();
    const whole = new Uint8Array(this.#part.end - this.#part.start);
    let at = 0;
    for await (const piece of this.#pieces()) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  #claim(): void {
    if (this.#claimed) throw alreadyRead();
    this.#claimed = true;
  }

  #open(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let pieces: AsyncGenerator<Uint8Array<ArrayBuffer>> | undefined;
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
      if (!pieces) {
        this.#claim();
        pieces = this.#pieces();
      }
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    };
    const cancel = async () => {
      this.#claimed = true;
      await pieces?.return(undefined);
    };
    // Nothing is read before it is asked for.
    return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
  }
}

function alreadyRead(): InvalidStateError {
  return new InvalidStateError("the bytes of this object were read already; get it again to read it again");
}

/** Chunks that are read by one call; as many again are under way while these are consumed. */
const chunksAtOnce = 4;

class BodyReader {
  readonly #context: BlobContext;
  readonly #key: Key;
  readonly #object: ObjectRecord;
  readonly #part: Part;
  readonly #signal: AbortSignal | undefined;

  constructor(context: BlobContext, key: Key, object: ObjectRecord, part: Part, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#key = key;
    this.#object = object;
    this.#part = part;
    this.#signal = signal;
  }

  async *pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { inline, size } = this.#object;
    throwIfAborted(this.#signal);
    if (inline) {
      this.#verify(createHash("sha256").update(inline));
      const piece = inline.slice(this.#part.start, this.#part.end);
      if (piece.length > 0) yield piece;
      return;
    }
    const isWhole = this.#part.start === 0 && this.#part.end === size;
    const hash = createHash("sha256");
    for await (const { bytes, begin } of this.#chunks()) {
      if (isWhole) hash.update(bytes);
      // The last bytes are not handed out before the whole is known to be right.
      if (isWhole && begin + bytes.length === size) this.#verify(hash);
      yield bytes.subarray(Math.max(0, this.#part.start - begin), this.#part.end - begin) as Uint8Array<ArrayBuffer>;
    }
  }

  /** The chunks that the part touches, each verified. */
  async *#chunks(): AsyncGenerator<{ readonly bytes: Uint8Array; readonly begin: number }> {
    const { chunkBytes } = this.#object;
    const { start, end } = this.#part;
    const last = Math.ceil(end / chunkBytes);
    let index = Math.floor(start / chunkBytes);
    for (let ahead = this.#fetch(index, last); index < last && start < end; ) {
      const batch = await raceAbort(ahead, this.#signal);
      ahead = this.#fetch(index + batch.length, last);
      for (const chunk of batch) {
        yield { bytes: await this.#open(chunk, index), begin: index * chunkBytes };
        index++;
      }
      // An engine that answers without I/O would otherwise keep the event loop to itself.
      await new Promise<void>((resolve) => void this.#context.runtime.timers.immediate(resolve));
    }
  }

  /** A few chunks from `index` on, as they are stored. */
  #fetch(index: number, last: number): Promise<unknown[]> {
    const { kv, runtime } = this.#context;
    const count = Math.max(0, Math.min(chunksAtOnce, last - index));
    const keys = Array.from({ length: count }, (_, i) => chunkKey(this.#object.etag, index + i));
    if (count === 0) return Promise.resolve([]);
    const fetched = retry(runtime, this.#signal, () => kv.getMany(keys)).then((entries) =>
      entries.map((entry) => entry?.value),
    );
    // Whoever leaves early does not wait for it.
    fetched.catch(() => {});
    return fetched;
  }

  async #open(chunk: unknown, index: number): Promise<Uint8Array> {
    if (chunk === undefined) throw await this.#vanished(index);
    const bytes = chunk instanceof Uint8Array ? openChunk(chunk, this.#object.etag, index) : undefined;
    const { chunkBytes, size } = this.#object;
    if (bytes?.length !== Math.min(chunkBytes, size - index * chunkBytes)) {
      throw new CorruptionError(
        `${this.#name}: chunk ${index} does not match its checksum; put the object again from its source`,
      );
    }
    return bytes;
  }

  /** Why a chunk is not there: chunks of a replaced object are collected after a while. */
  async #vanished(index: number): Promise<Error> {
    const entry = await this.#context.kv.get(this.#key, this.#signal && { signal: this.#signal });
    if (entry && readObject(entry).etag === this.#object.etag) {
      return new CorruptionError(`${this.#name}: chunk ${index} is missing; put the object again from its source`);
    }
    return new ConflictError(
      `${this.#name} was ${entry ? "replaced" : "deleted"} while it was read, and its old bytes are gone; get it again`,
    );
  }

  #verify(hash: Hash): void {
    if (hash.digest("hex") === this.#object.sha256) return;
    throw new CorruptionError(
      `${this.#name}: its bytes do not match their SHA-256; put the object again from its source`,
    );
  }

  get #name(): string {
    return `object ${keyName(this.#key.slice(1))}`;
  }
}
