import { CorruptionError } from "../../core/index.ts";

/** Writes integers (LEB128: seven bits to a byte, low ones first) and bytes close together: rows of the log and of the changes. */
export class Packer {
  #buffer = Buffer.allocUnsafeSlow(4096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** 0 to 2^53 - 1. */
  integer(value: number): this {
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  /** The bytes alone; their length is for the caller to know. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** The length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.integer(bytes.length).raw(bytes);
  }

  /** What was written, as a view that holds until the next write. The packer is empty afterwards. */
  finish(): Uint8Array {
    const view = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    // One huge row must not keep its memory for ever.
    if (this.#buffer.length > keptCapacity) this.#buffer = Buffer.allocUnsafeSlow(4096);
    return view;
  }

  #room(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

const keptCapacity = 1024 * 1024;

/** Bytes that `Packer.integer` takes. */
export function integerLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Reads what a `Packer` wrote. Every method throws `CorruptionError` rather than read past the end. */
export class Unpacker {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Where the next read begins. */
  get position(): number {
    return this.#at;
  }

  integer(): number {
    const bytes = this.#bytes;
    const first = bytes[this.#at++];
    if (first === undefined) throw this.#endsEarly();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let weight = 0x80; ; weight *= 0x80) {
      const byte = bytes[this.#at++];
      if (byte === undefined) throw this.#endsEarly();
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
    }
  }

  /** Length and bytes, as a view into the row. */
  bytes(): Uint8Array {
    const length = this.integer();
    const at = this.#at;
    this.#skip(length);
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  skipBytes(): void {
    this.#skip(this.integer());
  }

  #skip(length: number): void {
    this.#at += length;
    if (this.#at > this.#bytes.length) throw this.#endsEarly();
  }

  #endsEarly(): CorruptionError {
    return new CorruptionError(
      `a packed row of ${this.#bytes.length} bytes ends within its content; restore the file from a backup`,
    );
  }
}
