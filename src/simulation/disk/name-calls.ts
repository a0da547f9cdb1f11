import type { PathLike } from "node:fs";
import { type FsErrorCode, FsRefusal, fsError } from "./fs-error.ts";
import type { DirectoryNode } from "./nodes.ts";
import { type Place, pathText } from "./path-walk.ts";
import type { SessionCalls } from "./session-calls.ts";
import type { VirtualFs } from "./virtual-fs.ts";
import type { Volume } from "./volume.ts";

type NameCalls = Pick<VirtualFs, "rename" | "link" | "unlink" | "rmdir" | "rm" | "mkdir" | "mkdtemp">;

/** The calls that make, change and remove names. The order of their checks is that of Linux. */
export function createNameCalls(calls: SessionCalls): NameCalls {
  const { volume } = calls;
  const now = () => calls.now();

  function change<T>(syscall: string, path: string, action: () => T, dest?: string): Promise<T> {
    return calls.run({ syscall, path, dest }, "write", action);
  }

  async function unlink(path: PathLike): Promise<void> {
    const text = pathText(path);
    await change("unlink", text, () => unlinkNow(volume, text, now()));
  }

  async function rmdir(path: PathLike): Promise<void> {
    const text = pathText(path);
    await change("rmdir", text, () => rmdirNow(volume, text, now()));
  }

  /** What others have removed meanwhile is as good as removed. */
  async function removeTree(path: string): Promise<void> {
    const found = await unlessGone(
      calls.run({ syscall: "scandir", path }, "read", () => [...directoryAt(volume, path).entries]),
    );
    for (const [name, node] of found?.sort(([a], [b]) => (a < b ? -1 : 1)) ?? []) {
      const child = `${path}/${name}`;
      await (node.kind === "directory" ? removeTree(child) : unlessGone(unlink(child)));
    }
    await unlessGone(rmdir(path));
  }

  function isDirectory(path: string): Promise<boolean> {
    return calls.run({ syscall: "lstat", path }, "none", () => volume.find(path).kind === "directory");
  }

  return {
    unlink,
    rmdir,
    rename: async (from, to) => {
      const [source, target] = [pathText(from, "oldPath"), pathText(to, "newPath")];
      await change("rename", source, () => renameNow(volume, source, target, now()), target);
    },
    link: async (existing, path) => {
      const [source, target] = [pathText(existing, "existingPath"), pathText(path, "newPath")];
      await change("link", source, () => linkNow(volume, source, target, now()), target);
    },
    rm: async (path, options) => {
      const text = pathText(path);
      const found = await (options?.force ? unlessGone(isDirectory(text)) : isDirectory(text));
      if (found === false) await unlessGone(unlink(text));
      else if (found && options?.recursive) await removeTree(text);
      else if (found) throw directoryRefused(text);
    },
    mkdir: (async (path: PathLike, options?: { recursive?: boolean } | number | null) => {
      const text = pathText(path);
      const recursive = typeof options === "object" && options?.recursive === true;
      return await change("mkdir", text, () =>
        recursive ? mkdirTree(volume, text, now()) : mkdirNow(volume, text, now()),
      );
    }) as VirtualFs["mkdir"],
    mkdtemp: async (prefix) => {
      const text = pathText(prefix, "prefix");
      const path = text + Array.from({ length: 6 }, () => randomLetter(calls.runtime.random.next())).join("");
      await calls.run({ syscall: "mkdtemp", path: `${text}XXXXXX` }, "write", () => mkdirNow(volume, path, now()));
      return path;
    },
  };
}

async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** @throws FsRefusal ENOENT, ENOTDIR */
export function directoryAt(volume: Volume, path: string): DirectoryNode {
  const node = volume.find(path);
  if (node.kind === "file") throw new FsRefusal("ENOTDIR");
  return node;
}

/** @throws FsRefusal ENOENT, EISDIR, ENOTDIR */
export function unlinkNow(volume: Volume, path: string, now: number): void {
  const place = volume.walk(path);
  if (!place.isName) throw new FsRefusal("EISDIR");
  if (!place.node) throw new FsRefusal("ENOENT");
  if (place.node.kind === "directory") throw new FsRefusal("EISDIR");
  if (place.slash) throw new FsRefusal("ENOTDIR");
  volume.remove(place, now);
}

function rmdirNow(volume: Volume, path: string, now: number): void {
  const place = volume.walk(path);
  if (!place.isName) throw new FsRefusal(place.name === "." ? "EINVAL" : place.name === "/" ? "EBUSY" : "ENOTEMPTY");
  if (!place.node) throw new FsRefusal("ENOENT");
  if (place.node.kind === "file") throw new FsRefusal("ENOTDIR");
  if (place.node.entries.size > 0) throw new FsRefusal("ENOTEMPTY");
  volume.remove(place, now);
}

function mkdirNow(volume: Volume, path: string, now: number): void {
  const place = volume.walk(path);
  if (place.node) throw new FsRefusal("EEXIST");
  volume.createDirectory(place, now);
}

/** Makes what is missing of the path, in the way of Node's own loop; returns the first directory made. */
function mkdirTree(volume: Volume, path: string, now: number): string | undefined {
  let first: string | undefined;
  const waiting = [path];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const code = codeOf(() => mkdirNow(volume, next, now));
    if (code === undefined) first ??= next;
    else if (code === "ENOENT") {
      const parent = next.slice(0, Math.max(0, next.lastIndexOf("/")));
      if (parent === "" || parent === next) throw new FsRefusal(code);
      waiting.push(next, parent);
    } else if (code !== "EEXIST") throw new FsRefusal(code);
    else if (volume.find(next).kind === "file") throw new FsRefusal(waiting.length > 0 ? "ENOTDIR" : "EEXIST");
  }
  return first;
}

function codeOf(action: () => void): FsErrorCode | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof FsRefusal) return error.code;
    throw error;
  }
}

function renameNow(volume: Volume, from: string, to: string, now: number): void {
  const source = volume.walk(from);
  const target = volume.walk(to);
  if (!source.isName || !target.isName) throw new FsRefusal("EBUSY");
  if (!source.node) throw new FsRefusal("ENOENT");
  const isDirectory = source.node.kind === "directory";
  if (!isDirectory && (source.slash || target.slash)) throw new FsRefusal("ENOTDIR");
  if (isInside(target, source)) throw new FsRefusal("EINVAL");
  if (isInside(source, target)) throw new FsRefusal("ENOTEMPTY");
  if (source.node === target.node) return;
  if (target.node) {
    if (isDirectory && target.node.kind === "file") throw new FsRefusal("ENOTDIR");
    if (!isDirectory && target.node.kind === "directory") throw new FsRefusal("EISDIR");
    if (target.node.kind === "directory" && target.node.entries.size > 0) throw new FsRefusal("ENOTEMPTY");
  }
  volume.rename(source, target, now);
}

/** Whether `place` lies in the directory that `ancestor` names. */
function isInside(place: Place, ancestor: Place): boolean {
  return ancestor.node?.kind === "directory" && place.parents.includes(ancestor.node);
}

function linkNow(volume: Volume, from: string, to: string, now: number): void {
  const node = volume.find(from);
  const target = volume.walk(to);
  if (target.node) throw new FsRefusal("EEXIST");
  if (target.slash) throw new FsRefusal("ENOENT");
  if (node.kind === "directory") throw new FsRefusal("EPERM");
  volume.link(node, target, now);
}

/** What Node's `rm` says about a directory without `recursive`. */
function directoryRefused(path: string): Error {
  const error = fsError("EISDIR", { syscall: "rm", path });
  return Object.assign(error, {
    code: "ERR_FS_EISDIR",
    errno: 21,
    message: `Path is a directory: rm returned EISDIR (is a directory) ${path}`,
  });
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function randomLetter(chance: number): string {
  return letters.charAt(Math.floor(chance * letters.length));
}
