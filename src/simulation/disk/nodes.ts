import type { FileData } from "./file-data.ts";

/** What files and directories have in common. */
interface NodeState {
  /** Inode number. */
  readonly id: number;
  readonly mode: number;
  /** Milliseconds since the epoch. */
  modified: number;
  changed: number;
  readonly born: number;
  /** Names that lead here: as processes see it, and on the medium. */
  links: number;
  durableLinks: number;
  /** Open handles. */
  opens: number;
  /** Changes of names in the journal that are about this node. */
  pending: number;
}

export interface FileNode extends NodeState {
  readonly kind: "file";
  readonly data: FileData;
}

export interface DirectoryNode extends NodeState {
  readonly kind: "directory";
  readonly entries: Map<string, DiskNode>;
  readonly durableEntries: Map<string, DiskNode>;
}

export type DiskNode = FileNode | DirectoryNode;
