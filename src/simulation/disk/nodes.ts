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
  /** Names that lead here, as processes see it; if none is pending, on the medium too. */
  links: number;
  /** Open handles. */
  opens: number;
  /** Changes of names to or from this node that are in the journal: what keeps a removed file until it is durably so. */
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
