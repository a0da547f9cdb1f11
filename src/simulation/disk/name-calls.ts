import type { PathLike } from "node:fs";
import { FsRefusal, fsError } from "./fs-error.ts";
import type { DirectoryNode } from "./nodes.ts";
import { absolutePath, type Place, pathText } from "./path-walk.ts";
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

  async function removeTree(path: string): Promise<void> {
    const names = await calls.run({ syscall: "scandir", path }, "read", () => [
      ...directoryAt(volume, path).entries.keys(),
    ]);
    for (const name of names.sort()) {
      const child = `${path}/${name}`;
      if (await isDirectory(child)) await removeTree(child);
      else await change("unlink", child, () => unlinkNow(volume, child, now()));
    }
    await change("rmdir", path, () => rmdirNow(volume, path, now()));
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
      try {
        if (!(await isDirectory(text))) await unlink(text);
        else if (options?.recursive) await removeTree(text);
        else throw directoryRefused(text);
      } catch (error) {
        if (!(options?.force && (error as NodeJS.ErrnoException).code === "ENOENT")) throw error;
      }
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

/** @throws FsRefusal ENOENT, ENOTDIR */
export function directoryAt(volume: Volume, path: string): DirectoryNode {
  const node = volume.find(path);
  if (node.kind === "file") throw new FsRefusal("ENOTDIR");
  return node;
}

function unlinkNow(volume: Volume, path: string, now: number): void {
  const place = volume.walk(path);
  if (!place.isName) throw new FsRefusal("EISDIR");
  if (!place.node) throw new FsRefusal("ENOENT");
  if (place.node.kind === "directory") throw new FsRefusal("EISDIR");
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

/** Makes what is missing of the path; returns the first directory made. */
function mkdirTree(volume: Volume, path: string, now: number): string | undefined {
  let first: string | undefined;
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0 && path === "") throw new FsRefusal("ENOENT");
  let prefix = "";
  for (const [index, part] of parts.entries()) {
    prefix += `/${part}`;
    const place = volume.walk(prefix);
    if (place.node?.kind === "file") throw new FsRefusal(index === parts.length - 1 ? "EEXIST" : "ENOTDIR");
    if (place.node) continue;
    volume.createDirectory(place, now);
    first ??= absolutePath(place);
  }
  return first;
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
