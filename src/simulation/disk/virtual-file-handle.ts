import { FsRefusal } from "./fs-error.ts";
import { statsOf } from "./node-stats.ts";
import type { DiskNode, FileNode } from "./nodes.ts";
import type { OpenFlags } from "./open-flags.ts";
import { type Effect, never, type SessionCalls } from "./session-calls.ts";
import type { BufferPart, Bytes, EncodingOption, VirtualFileHandle, VirtualStats } from "./virtual-fs.ts";

/** What one `read` of `readFile` asks for. */
const readChunk = 512 * 1024;

/** An open file. The bytes of a write are taken when it happens, not when it is called: a buffer in use must be left alone. */
export class OpenFile implements VirtualFileHandle {
  readonly #calls: SessionCalls;
  readonly #node: DiskNode;
  readonly #flags: OpenFlags;
  #fd: number;
  #position = 0;
  /** Calls under way; `close` waits for them. */
  #busy = 0;
  #closing: { readonly promise: Promise<void>; readonly start: () => void } | undefined;

  /** @param fd given by `calls.addOpen` */
  constructor(calls: SessionCalls, node: DiskNode, flags: OpenFlags, fd: number) {
    this.#calls = calls;
    this.#node = node;
    this.#flags = flags;
    this.#fd = fd;
  }

  get fd(): number {
    return this.#closing ? -1 : this.#fd;
  }

  read<T extends Bytes>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends Bytes>(buffer: T, options?: BufferPart): Promise<{ bytesRead: number; buffer: T }>;
  async read<T extends Bytes>(
    buffer: T,
    offsetOrOptions?: number | BufferPart | null,
    length?: number | null,
    position?: number | null,
  ): Promise<{ bytesRead: number; buffer: T }> {
    const target = cut(buffer, slice(offsetOrOptions, length, position));
    const bytesRead = await this.#run("read", "read", () => {
      const file = this.#file(this.#flags.read, "EISDIR");
      const at = target.position ?? this.#position;
      const count = this.#calls.readData(file, target.bytes, at);
      if (target.position === undefined) this.#position = at + count;
      return count;
    });
    return { bytesRead, buffer };
  }

  readFile(options?: { encoding?: null | undefined } | null): Promise<Buffer>;
  readFile(options: { encoding: BufferEncoding } | BufferEncoding): Promise<string>;
  async readFile(options?: EncodingOption): Promise<Buffer | string> {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const size = this.#node.kind === "file" ? this.#node.data.size - this.#position : 0;
      const { bytesRead, buffer } = await this.read(new Uint8Array(Math.max(1, Math.min(size, readChunk))));
      chunks.push(buffer.subarray(0, bytesRead));
      if (bytesRead === 0) break;
    }
    const content = Buffer.concat(chunks);
    const encoding = encodingOf(options);
    return encoding ? content.toString(encoding) : content;
  }

  write<T extends Bytes>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: T }>;
  write<T extends Bytes>(buffer: T, options?: BufferPart): Promise<{ bytesWritten: number; buffer: T }>;
  write(
    data: string,
    position?: number | null,
    encoding?: BufferEncoding | null,
  ): Promise<{ bytesWritten: number; buffer: string }>;
  async write(
    data: string | Bytes,
    offsetOrPosition?: number | BufferPart | null,
    lengthOrEncoding?: number | string | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: unknown }> {
    const part =
      typeof data === "string"
        ? {
            bytes: Buffer.from(data, (lengthOrEncoding as BufferEncoding | null | undefined) ?? "utf8"),
            position: positionOf(offsetOrPosition as number | null | undefined),
          }
        : cut(data, slice(offsetOrPosition, lengthOrEncoding as number | null | undefined, position));
    return { bytesWritten: await this.#write(part.bytes, part.position), buffer: data };
  }

  async writev<T extends readonly Bytes[]>(
    buffers: T,
    position?: number,
  ): Promise<{ bytesWritten: number; buffers: T }> {
    // One buffer for all: a gathering write is as atomic as a single one.
    const bytes = buffers.length === 1 && buffers[0] ? asBytes(buffers[0]) : Buffer.concat(buffers.map(asBytes));
    return { bytesWritten: await this.#write(bytes, positionOf(position)), buffers };
  }

  async writeFile(data: string | Bytes, options?: EncodingOption): Promise<void> {
    if (!this.#calls.isAlive) return await never();
    const bytes = dataBytes(data, encodingOf(options));
    for (let done = 0; done < bytes.length; ) done += await this.#write(bytes.subarray(done), undefined);
  }

  appendFile(data: string | Bytes, options?: EncodingOption): Promise<void> {
    return this.writeFile(data, options);
  }

  sync(): Promise<void> {
    return this.#sync("fsync");
  }

  datasync(): Promise<void> {
    return this.#sync("fdatasync");
  }

  truncate(length = 0): Promise<void> {
    return this.#run("ftruncate", "write", () => {
      if (!this.#flags.write || this.#node.kind !== "file") throw new FsRefusal("EINVAL");
      this.#calls.volume.truncate(this.#node, Math.max(0, length), this.#calls.now());
    });
  }

  stat(): Promise<VirtualStats> {
    return this.#run("fstat", "none", () => statsOf(this.#node, this.#calls.volume.sectorSize));
  }

  close(): Promise<void> {
    if (!this.#calls.isAlive) return never();
    if (this.#fd === -1) return Promise.resolve();
    if (!this.#closing) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const start = () =>
        void this.#calls
          .run({ syscall: "close" }, "none", () => {
            this.#calls.closeOpen(this.#fd);
            this.#fd = -1;
          })
          .then(resolve, reject);
      this.#closing = { promise, start };
      this.#startClosing();
    }
    return this.#closing.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #write(bytes: Uint8Array, position: number | undefined): Promise<number> {
    return this.#run("write", "write", () => {
      const file = this.#file(this.#flags.write, "EBADF");
      // Linux appends with O_APPEND wherever the call says to write (pwrite(2), "BUGS").
      const at = this.#flags.append ? file.data.size : (position ?? this.#position);
      const count = this.#calls.writeData(file, bytes, at);
      if (position === undefined) this.#position = at + count;
      return count;
    });
  }

  #sync(syscall: string): Promise<void> {
    return this.#busily(syscall, () => this.#calls.sync({ syscall }, this.#node));
  }

  #run<T>(syscall: string, effect: Effect, action: () => T): Promise<T> {
    return this.#busily(syscall, () => this.#calls.run({ syscall }, effect, action));
  }

  async #busily<T>(syscall: string, run: () => Promise<T>): Promise<T> {
    if (!this.#calls.isAlive) return await never();
    if (this.#closing) throw Object.assign(new Error("file closed"), { code: "EBADF", syscall });
    this.#busy++;
    try {
      return await run();
    } finally {
      this.#busy--;
      this.#startClosing();
    }
  }

  #startClosing(): void {
    if (this.#busy === 0) this.#closing?.start();
  }

  /** The file, if the handle was opened for this. */
  #file(isAllowed: boolean, directoryCode: "EISDIR" | "EBADF"): FileNode {
    if (!isAllowed) throw new FsRefusal("EBADF");
    if (this.#node.kind === "directory") throw new FsRefusal(directoryCode);
    return this.#node;
  }
}

export function encodingOf(options: EncodingOption | undefined): BufferEncoding | undefined {
  return (typeof options === "string" ? options : options?.encoding) ?? undefined;
}

export function dataBytes(data: string | Bytes, encoding: BufferEncoding | undefined): Uint8Array {
  return typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : asBytes(data);
}

/** @throws TypeError (ERR_INVALID_ARG_TYPE) neither text nor a view of bytes, such as the streams that Node takes */
function asBytes(view: Bytes): Uint8Array {
  if (!ArrayBuffer.isView(view)) {
    const error = new TypeError(
      'The "data" argument must be of type string or an instance of Buffer, TypedArray or DataView.',
    );
    throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
  }
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function slice(
  first: number | BufferPart | null | undefined,
  length: number | null | undefined,
  position: number | null | undefined,
) {
  return typeof first === "object" && first !== null ? first : { offset: first, length, position };
}

interface Part {
  readonly offset?: number | null | undefined;
  readonly length?: number | null | undefined;
  readonly position?: number | null | undefined;
}

/** @throws RangeError (ERR_OUT_OF_RANGE) a part that is not inside the buffer */
function cut(buffer: Bytes, { offset, length, position }: Part) {
  const bytes = asBytes(buffer);
  const from = offset ?? 0;
  const count = length ?? bytes.length - from;
  if (!(from >= 0 && count >= 0 && from + count <= bytes.length)) {
    const error = new RangeError(`offset ${from} and length ${count} are outside a buffer of ${bytes.length} bytes`);
    throw Object.assign(error, { code: "ERR_OUT_OF_RANGE" });
  }
  return { bytes: bytes.subarray(from, from + count), position: positionOf(position) };
}

/** Undefined: the handle's own position. */
function positionOf(position: number | null | undefined): number | undefined {
  return typeof position === "number" && position >= 0 ? position : undefined;
}
