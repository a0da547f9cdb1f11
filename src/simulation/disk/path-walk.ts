import { fileURLToPath } from "node:url";
import { badArgument, FsRefusal } from "./fs-error.ts";
import type { DirectoryNode, DiskNode } from "./nodes.ts";

/** Where a path leads. */
export interface Place {
  /** From the root to the directory that holds the name. */
  readonly parents: readonly DirectoryNode[];
  /** Names of `parents` but the root. */
  readonly names: readonly string[];
  readonly directory: DirectoryNode;
  /** The last name; for a path that ends in the root, "." or ".." it is that. */
  readonly name: string;
  /** Whether `name` is a name that can be made, moved and removed. */
  readonly isName: boolean;
  readonly node: DiskNode | undefined;
  /** The path ends with "/", so it can only mean a directory. */
  readonly slash: boolean;
}

const longestName = 255;

/** The path as text. Relative paths start at the root. */
export function pathText(path: unknown, name = "path"): string {
  const text =
    typeof path === "string"
      ? path
      : path instanceof URL
        ? fileURLToPath(path)
        : path instanceof Uint8Array
          ? Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString()
          : undefined;
  if (text === undefined) {
    const error = new TypeError(`The "${name}" argument must be of type string or an instance of Buffer or URL.`);
    throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
  }
  if (text.includes("\0")) throw badArgument(name, text);
  return text;
}

/**
 * Follows `path` as POSIX does: every component but the last must be a directory that exists.
 * @throws FsRefusal ENOENT, ENOTDIR, ENAMETOOLONG
 */
export function walk(root: DirectoryNode, path: string): Place {
  if (path === "") throw new FsRefusal("ENOENT");
  const parts = path.split("/").filter((part) => part !== "");
  const parents = [root];
  const names: string[] = [];
  const last = parts.pop() ?? "/";
  for (const part of parts) step(parents, names, part);
  const slash = path.endsWith("/");
  const directory = parents.at(-1) ?? root;
  if (last === "/" || last === "." || last === "..") {
    if (last !== "/") step(parents, names, last);
    return { parents, names, directory, name: last, isName: false, node: parents.at(-1), slash };
  }
  checkLength(last);
  const node = directory.entries.get(last);
  return { parents, names, directory, name: last, isName: true, node, slash };
}

function step(parents: DirectoryNode[], names: string[], part: string): void {
  if (part === ".") return;
  if (part === "..") {
    if (parents.length > 1) parents.pop();
    names.pop();
    return;
  }
  checkLength(part);
  const node = parents.at(-1)?.entries.get(part);
  if (!node) throw new FsRefusal("ENOENT");
  if (node.kind === "file") throw new FsRefusal("ENOTDIR");
  parents.push(node);
  names.push(part);
}

function checkLength(name: string): void {
  if (name.length > longestName || (name.length > longestName / 3 && Buffer.byteLength(name) > longestName))
    throw new FsRefusal("ENAMETOOLONG");
}

/** The path without ".", ".." and doubled slashes, from the root. */
export function absolutePath(place: Place): string {
  return `/${(place.isName ? [...place.names, place.name] : place.names).join("/")}`;
}
