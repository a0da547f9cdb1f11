import type { DiskNode } from "./nodes.ts";
import type { VirtualDirent, VirtualStats } from "./virtual-fs.ts";

/** What `stat` tells about a node. */
export function statsOf(node: DiskNode, sectorSize: number): VirtualStats {
  const size = node.kind === "file" ? node.data.size : sectorSize;
  const sectors = node.kind === "file" ? node.data.sectors : 1;
  return {
    dev: 1,
    ino: node.id,
    mode: node.mode,
    nlink: node.kind === "file" ? node.links : 2 * node.links,
    size,
    blksize: sectorSize,
    blocks: Math.ceil((sectors * sectorSize) / 512),
    mtimeMs: node.modified,
    ctimeMs: node.changed,
    birthtimeMs: node.born,
    mtime: new Date(node.modified),
    ctime: new Date(node.changed),
    birthtime: new Date(node.born),
    ...kindTests(node.kind),
  };
}

export function direntOf(name: string, parentPath: string, node: DiskNode): VirtualDirent {
  return { name, parentPath, ...kindTests(node.kind) };
}

function kindTests(kind: DiskNode["kind"]) {
  return {
    isFile: () => kind === "file",
    isDirectory: () => kind === "directory",
    isSymbolicLink: () => false,
  };
}
