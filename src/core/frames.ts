import { asBuffer, decodeUtf8 } from "./bytes.ts";
import { CorruptionError } from "./errors.ts";

const SMALLEST_CAPACITY = 256;

/** Writes a frame: big-endian numbers and length-prefixed bytes, in memory that grows. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = SMALLEST_CAPACITY) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(capacity, 16));
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** 0 to 255. */
  u8(value: number): this {
    this.#length = this.#room(1).writeUInt8(value, this.#length);
    return this;
  }

  /** 0 to 2^32 - 1. */
  u32(value: number): this {
    this.#length = this.#room(4).writeUInt32BE(value, this.#length);
    return this;
  }

  /** 0 to 2^53 - 1, in 8 bytes. */
  u64(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`u64: ${value} is not a safe integer of 0 or more`);
    const buffer = this.#room(8);
    buffer.writeUInt32BE(Math.floor(value / 2 ** 32), this.#length);
    this.#length = buffer.writeUInt32BE(value % 2 ** 32, this.#length + 4);
    return this;
  }

  f64(value: number): this {
    this.#length = this.#room(8).writeDoubleBE(value, this.#length);
    return this;
  }

  /** The length as u32, then the bytes. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#room(value.length).set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** The length of its UTF-8 as u32, then that. */
  text(value: string): this {
    const length = Buffer.byteLength(value);
    this.u32(length);
    this.#room(length).write(value, this.#length);
    this.#length += length;
    return this;
  }

  /** What was written, as a copy of exactly that size. The writer is empty afterwards and may be used again. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  #room(more: number): Buffer {
    const needed = this.#length + more;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}

/** Reads what a `ByteWriter` wrote. Every method throws `CorruptionError` rather than read past the end. */
export class ByteReader {
  readonly #buffer: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = asBuffer(bytes);
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.#buffer.length - this.#position;
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#advance(4));
  }

  /** @throws CorruptionError above 2^53 - 1 */
  u64(): number {
    const at = this.#advance(8);
    const value = this.#buffer.readUInt32BE(at) * 2 ** 32 + this.#buffer.readUInt32BE(at + 4);
    if (value > Number.MAX_SAFE_INTEGER)
      throw new CorruptionError(`a frame holds the integer ${value}, above 2^53 - 1`);
    return value;
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#advance(8));
  }

  /** A view into the frame, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#advance(length);
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + at, length);
  }

  /** @throws CorruptionError not UTF-8 */
  text(): string {
    return decodeUtf8(this.bytes());
  }

  /** @throws CorruptionError bytes are left */
  end(): void {
    if (this.remaining > 0) throw new CorruptionError(`a frame has ${this.remaining} bytes more than its content`);
  }

  #advance(length: number): number {
    const at = this.#position;
    if (length > this.#buffer.length - at) {
      throw new CorruptionError(`a frame ends early: ${length} bytes expected at ${at}, ${this.remaining} there`);
    }
    this.#position = at + length;
    return at;
  }
}
