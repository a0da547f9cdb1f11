import type { PathLike } from "node:fs";

/** Bytes in any view. */
export type Bytes = NodeJS.ArrayBufferView;

/** How text is encoded; "utf8" if it does not say. */
export type EncodingOption = { encoding?: BufferEncoding | null | undefined } | BufferEncoding | null;

/** The part of a buffer to read into or to write; by default all of it, at the handle's own position. */
export interface BufferPart {
  offset?: number | undefined;
  length?: number | undefined;
  position?: number | null | undefined;
}

/** What `stat` tells; a part of Node's `Stats`. */
export interface VirtualStats {
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly size: number;
  readonly blksize: number;
  /** Space taken, in units of 512 bytes. */
  readonly blocks: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

/** An entry of a directory; a part of Node's `Dirent`. */
export interface VirtualDirent {
  readonly name: string;
  readonly parentPath: string;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

/** The part of Node's `FileHandle` that the simulated disk has, with Node's meaning, defaults and errors. */
export interface VirtualFileHandle extends AsyncDisposable {
  /** -1 once closed. */
  readonly fd: number;
  read<T extends Bytes>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends Bytes>(buffer: T, options?: BufferPart): Promise<{ bytesRead: number; buffer: T }>;
  readFile(options?: { encoding?: null | undefined } | null): Promise<Buffer>;
  readFile(options: { encoding: BufferEncoding } | BufferEncoding): Promise<string>;
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
  writev<T extends readonly Bytes[]>(buffers: T, position?: number): Promise<{ bytesWritten: number; buffers: T }>;
  writeFile(data: string | Bytes, options?: EncodingOption): Promise<void>;
  appendFile(data: string | Bytes, options?: EncodingOption): Promise<void>;
  sync(): Promise<void>;
  datasync(): Promise<void>;
  truncate(length?: number): Promise<void>;
  stat(): Promise<VirtualStats>;
  close(): Promise<void>;
}

/** Options of `writeFile` and `appendFile`. */
export interface WriteFileOptions {
  encoding?: BufferEncoding | null | undefined;
  flag?: string | number | undefined;
  /** Sync before closing. */
  flush?: boolean | undefined;
}

/**
 * The part of `node:fs/promises` that the simulated disk has, with Node's meaning, defaults and errors on Linux. Code that
 * takes a `VirtualFs` can be given `node:fs/promises` itself.
 */
export interface VirtualFs {
  open(path: PathLike, flags?: string | number, mode?: number): Promise<VirtualFileHandle>;
  readFile(
    path: PathLike,
    options?: { encoding?: null | undefined; flag?: string | number | undefined } | null,
  ): Promise<Buffer>;
  readFile(
    path: PathLike,
    options: { encoding: BufferEncoding; flag?: string | number | undefined } | BufferEncoding,
  ): Promise<string>;
  writeFile(path: PathLike, data: string | Bytes, options?: WriteFileOptions | BufferEncoding | null): Promise<void>;
  appendFile(path: PathLike, data: string | Bytes, options?: WriteFileOptions | BufferEncoding | null): Promise<void>;
  rename(from: PathLike, to: PathLike): Promise<void>;
  link(existing: PathLike, path: PathLike): Promise<void>;
  unlink(path: PathLike): Promise<void>;
  rm(path: PathLike, options?: { recursive?: boolean | undefined; force?: boolean | undefined }): Promise<void>;
  /** The first directory made (undefined: none) if `recursive`. */
  mkdir(path: PathLike, options: { recursive: true; mode?: number | undefined }): Promise<string | undefined>;
  mkdir(
    path: PathLike,
    options?: { recursive?: false | undefined; mode?: number | undefined } | number | null,
  ): Promise<void>;
  mkdtemp(prefix: string): Promise<string>;
  rmdir(path: PathLike): Promise<void>;
  /** In the order of the names' code units, where Node gives none. */
  readdir(path: PathLike, options?: { withFileTypes?: false | undefined } | BufferEncoding | null): Promise<string[]>;
  readdir(path: PathLike, options: { withFileTypes: true }): Promise<VirtualDirent[]>;
  stat(path: PathLike): Promise<VirtualStats>;
  lstat(path: PathLike): Promise<VirtualStats>;
  access(path: PathLike, mode?: number): Promise<void>;
  realpath(path: PathLike): Promise<string>;
  truncate(path: PathLike, length?: number): Promise<void>;
  copyFile(from: PathLike, to: PathLike, mode?: number): Promise<void>;
  utimes(path: PathLike, accessed: number | string | Date, modified: number | string | Date): Promise<void>;
}
