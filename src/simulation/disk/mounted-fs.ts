import { constants, type PathLike } from "node:fs";
import { UnsupportedError } from "../../core/index.ts";
import { aboutCall, type FsCall, FsRefusal } from "./fs-error.ts";
import { createNameCalls, directoryAt, unlinkNow } from "./name-calls.ts";
import { direntOf, statsOf } from "./node-stats.ts";
import type { DiskNode } from "./nodes.ts";
import { type OpenFlags, parseOpenFlags } from "./open-flags.ts";
import { absolutePath, pathText } from "./path-walk.ts";
import { never, type SessionCalls } from "./session-calls.ts";
import { dataBytes, encodingOf, OpenFile } from "./virtual-file-handle.ts";
import type { Bytes, VirtualFs, WriteFileOptions } from "./virtual-fs.ts";
import type { Volume } from "./volume.ts";

type ReadOptions = { encoding?: BufferEncoding | null | undefined; flag?: string | number } | BufferEncoding | null;
type WriteOptions = WriteFileOptions | BufferEncoding | null;

/** The file system over the calls of one process. What Node does in several system calls takes several here too. */
export function createFs(calls: SessionCalls): VirtualFs {
  const fs: VirtualFs = { ...createNameCalls(calls), ...createContentCalls(calls), ...createQueryCalls(calls) };
  // Not even a bad argument may bring a dead process back.
  const guarded = Object.entries(fs).map(([name, method]: [string, (...args: never[]) => Promise<unknown>]) => [
    name,
    (...args: never[]) => (calls.isAlive ? method(...args) : never()),
  ]);
  return Object.fromEntries(guarded) as VirtualFs;
}

type ContentCalls = Pick<VirtualFs, "open" | "readFile" | "writeFile" | "appendFile" | "truncate" | "copyFile">;

function createContentCalls(calls: SessionCalls): ContentCalls {
  /** @param call what errors are about, if not this `open` */
  async function open(
    path: string,
    flags?: string | number,
    call: FsCall = { syscall: "open", path },
  ): Promise<OpenFile> {
    const parsed = parseOpenFlags(flags);
    return await calls.run(call, parsed.create || parsed.truncate ? "write" : "none", () => {
      const node = openNow(calls.volume, path, parsed, calls.now());
      return new OpenFile(calls, node, parsed, calls.addOpen(node));
    });
  }

  async function write(
    path: PathLike,
    data: string | Bytes,
    options: WriteOptions | undefined,
    flags: string,
  ): Promise<void> {
    const { flag = flags, flush = false } = typeof options === "object" ? (options ?? {}) : {};
    const bytes = dataBytes(data, encodingOf(options));
    await using file = await open(pathText(path), flag);
    await file.writeFile(bytes);
    if (flush) await file.sync();
  }

  async function readFile(path: PathLike, options?: ReadOptions): Promise<Buffer | string> {
    await using file = await open(pathText(path), (typeof options === "object" && options?.flag) || "r");
    const content = await file.readFile();
    const encoding = encodingOf(options);
    return encoding ? content.toString(encoding) : content;
  }

  async function copyFile(from: PathLike, to: PathLike, mode = 0): Promise<void> {
    const [path, dest] = [pathText(from, "src"), pathText(to, "dest")];
    const call = { syscall: "copyfile", path, dest };
    const exclusive = mode & constants.COPYFILE_EXCL ? constants.O_EXCL : 0;
    await using source = await open(path, "r", call);
    await using target = await open(dest, constants.O_WRONLY | constants.O_CREAT | exclusive, call);
    try {
      if ((await source.stat()).ino === (await target.stat()).ino) return;
      await target.truncate(0);
      await target.writeFile(await source.readFile());
    } catch (error) {
      await calls.run(call, "none", () => unlinkNow(calls.volume, dest, calls.now()));
      throw aboutCall(error, call);
    }
  }

  return {
    open: async (path, flags) => open(pathText(path), flags),
    readFile: readFile as VirtualFs["readFile"],
    writeFile: (path, data, options) => write(path, data, options, "w"),
    appendFile: (path, data, options) => write(path, data, options, "a"),
    copyFile,
    truncate: async (path, length) => {
      await using file = await open(pathText(path), "r+");
      await file.truncate(length);
    },
  };
}

function openNow(volume: Volume, path: string, flags: OpenFlags, now: number): DiskNode {
  const place = volume.walk(path);
  const { node } = place;
  if (place.slash && flags.create) throw new FsRefusal("EISDIR");
  if (!node) {
    if (!flags.create) throw new FsRefusal("ENOENT");
    return volume.createFile(place, now);
  }
  if (flags.create && flags.exclusive) throw new FsRefusal("EEXIST");
  if (node.kind === "directory") {
    if (flags.write || flags.create || flags.truncate) throw new FsRefusal("EISDIR");
    return node;
  }
  if (flags.directory || place.slash) throw new FsRefusal("ENOTDIR");
  if (flags.truncate) volume.truncate(node, 0, now);
  return node;
}

type ReaddirOptions = { withFileTypes?: boolean; recursive?: boolean } | BufferEncoding | null;
type QueryCalls = Pick<VirtualFs, "readdir" | "stat" | "lstat" | "access" | "realpath" | "utimes">;

function createQueryCalls(calls: SessionCalls): QueryCalls {
  const { volume } = calls;

  function stat(syscall: string): VirtualFs["stat"] {
    return async (path) => {
      const text = pathText(path);
      return await calls.run({ syscall, path: text }, "none", () => statsOf(volume.find(text), volume.sectorSize));
    };
  }

  async function readdir(path: PathLike, options?: ReaddirOptions) {
    if (typeof options === "object" && options?.recursive)
      throw new UnsupportedError(
        "the simulated disk reads one directory at a time: call readdir for each, without recursive",
      );
    const text = pathText(path);
    const entries = await calls.run({ syscall: "scandir", path: text }, "read", () =>
      [...directoryAt(volume, text).entries].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    const withFileTypes = typeof options === "object" && options?.withFileTypes === true;
    return entries.map(([name, node]) => (withFileTypes ? direntOf(name, text, node) : name));
  }

  return {
    stat: stat("stat"),
    lstat: stat("lstat"),
    readdir: readdir as VirtualFs["readdir"],
    access: async (path) => {
      const text = pathText(path);
      await calls.run({ syscall: "access", path: text }, "none", () => volume.find(text));
    },
    realpath: async (path) => {
      const text = pathText(path);
      return await calls.run({ syscall: "realpath", path: text }, "none", () => {
        volume.find(text);
        return absolutePath(volume.walk(text));
      });
    },
    utimes: async (path, _accessed, modified) => {
      const text = pathText(path);
      await calls.run({ syscall: "utime", path: text }, "write", () => {
        const node = volume.find(text);
        node.modified = milliseconds(modified);
        node.changed = calls.now();
      });
    },
  };
}

/** Node takes times in seconds. */
function milliseconds(time: number | string | Date): number {
  return time instanceof Date ? time.getTime() : Number(time) * 1000;
}
