import { type DiskChance, type DiskFaultCounts, type DiskFaults, hits } from "./disk-faults.ts";
import { type DataSnapshot, FileData, type Space } from "./file-data.ts";
import { FsRefusal } from "./fs-error.ts";
import { type MetadataRules, type NameChange, NameJournal, type NameOperation } from "./name-journal.ts";
import type { DirectoryNode, DiskNode, FileNode } from "./nodes.ts";
import { type Place, walk } from "./path-walk.ts";

/** What a sync found to write when it began. */
export interface SyncSnapshot {
  readonly moment: number;
  readonly data: DataSnapshot | undefined;
}

export interface VolumeOptions {
  readonly sectorSize: number;
  readonly metadata: MetadataRules;
  /** Bytes, asked whenever space is taken. */
  readonly capacity: () => number;
}

const directoryMode = 0o40755;
const fileMode = 0o100644;

/**
 * The tree of files of one disk and its space. Each method is one atomic step, takes no time and either throws
 * `FsRefusal` without effect or is done.
 */
export class Volume {
  readonly #capacity: () => number;
  readonly #space: Space;
  readonly #journal: NameJournal;
  readonly #root: DirectoryNode;
  /** Sectors taken, those of nodes included. */
  #used = 0;
  /** Changes so far. */
  #moment = 0;
  #lastId = 0;

  constructor(options: VolumeOptions) {
    this.#capacity = options.capacity;
    this.#space = {
      sectorSize: options.sectorSize,
      zeros: new Uint8Array(options.sectorSize),
      take: () => this.#take(),
      give: (sectors) => {
        this.#used -= sectors;
      },
    };
    this.#journal = new NameJournal(options.metadata, (operation) => this.#commit(operation));
    this.#root = {
      ...this.#newState(directoryMode, 0),
      kind: "directory",
      entries: new Map(),
      durableEntries: new Map(),
    };
    this.#root.links = 1;
  }

  get root(): DirectoryNode {
    return this.#root;
  }

  /** Bytes taken: whole sectors, and one for each file and directory. */
  get used(): number {
    return this.#used * this.#space.sectorSize;
  }

  get sectorSize(): number {
    return this.#space.sectorSize;
  }

  walk(path: string): Place {
    return walk(this.#root, path);
  }

  /** @throws FsRefusal ENOENT, ENOTDIR */
  find(path: string): DiskNode {
    const { node, slash } = this.walk(path);
    if (!node) throw new FsRefusal("ENOENT");
    if (slash && node.kind === "file") throw new FsRefusal("ENOTDIR");
    return node;
  }

  createFile(place: Place, now: number): FileNode {
    const node: FileNode = { ...this.#newNode(fileMode, now), kind: "file", data: new FileData(this.#space) };
    this.#apply([{ directory: place.directory, name: place.name, from: undefined, to: node }], now);
    return node;
  }

  createDirectory(place: Place, now: number): DirectoryNode {
    const node: DirectoryNode = {
      ...this.#newNode(directoryMode, now),
      kind: "directory",
      entries: new Map(),
      durableEntries: new Map(),
    };
    this.#apply([{ directory: place.directory, name: place.name, from: undefined, to: node }], now);
    return node;
  }

  remove(place: Place, now: number): void {
    this.#apply([{ directory: place.directory, name: place.name, from: place.node, to: undefined }], now);
  }

  /** Gives `node` a further name. */
  link(node: FileNode, place: Place, now: number): void {
    this.#apply([{ directory: place.directory, name: place.name, from: undefined, to: node }], now);
  }

  rename(source: Place, target: Place, now: number): void {
    const { node } = source;
    this.#apply(
      [
        { directory: source.directory, name: source.name, from: node, to: undefined },
        { directory: target.directory, name: target.name, from: target.node, to: node },
      ],
      now,
    );
  }

  open(node: DiskNode): void {
    node.opens++;
  }

  close(node: DiskNode): void {
    node.opens--;
    this.#release(node);
  }

  /** Writes what there is space for, one byte at least, and returns how much. */
  write(node: FileNode, source: Uint8Array, position: number, now: number): number {
    const written = node.data.write(source, position, ++this.#moment);
    if (written === 0 && source.length > 0) throw new FsRefusal("ENOSPC");
    touch(node, now);
    return written;
  }

  truncate(node: FileNode, size: number, now: number): void {
    node.data.truncate(size, ++this.#moment);
    touch(node, now);
  }

  beginSync(node: DiskNode): SyncSnapshot {
    return { moment: this.#moment, data: node.kind === "file" ? node.data.snapshot() : undefined };
  }

  endSync(node: DiskNode, snapshot: SyncSnapshot): void {
    if (node.kind === "file" && snapshot.data) node.data.persist(snapshot.data);
    if (node.pending > 0 || node.kind === "directory") this.#journal.sync(node, snapshot.moment);
  }

  failSync(node: DiskNode, snapshot: SyncSnapshot): void {
    if (node.kind === "file" && snapshot.data) node.data.giveUp(snapshot.data);
  }

  /** The power goes. No process may use the volume's nodes afterwards. */
  losePower(chance: DiskChance, faults: DiskFaults, counts: DiskFaultCounts): void {
    counts.lostNames += this.#journal.losePower(() => hits(chance, "disk kept name", faults.keepUnsynced));
    const seen = new Set<DiskNode>([this.#root]);
    resetCounts(this.#root);
    this.#root.links = 1;
    this.#used = 0;
    // A set grows while it is walked.
    for (const node of seen) {
      if (node.kind === "file") {
        node.data.losePower(chance, faults, counts);
        this.#used += node.data.sectors + 1;
        continue;
      }
      if (node !== this.#root) this.#used++;
      node.entries.clear();
      for (const [name, child] of [...node.durableEntries].sort(byName)) {
        if (!seen.has(child)) resetCounts(child);
        seen.add(child);
        child.links++;
        node.entries.set(name, child);
      }
    }
  }

  #newState(mode: number, now: number) {
    const counts = { links: 0, opens: 0, pending: 0 };
    return { id: ++this.#lastId, mode, modified: now, changed: now, born: now, ...counts };
  }

  #newNode(mode: number, now: number) {
    if (!this.#take()) throw new FsRefusal("ENOSPC");
    return this.#newState(mode, now);
  }

  #take(): boolean {
    const { sectorSize } = this.#space;
    if ((this.#used + 1) * sectorSize > this.#capacity()) {
      // What was removed keeps its space until its removal is durable, so a full disk makes it so first.
      if (this.#journal.length === 0) return false;
      this.#journal.flush();
      if ((this.#used + 1) * sectorSize > this.#capacity()) return false;
    }
    this.#used++;
    return true;
  }

  #apply(changes: readonly NameChange[], now: number): void {
    for (const { directory, name, from, to } of changes) {
      if (to) {
        directory.entries.set(name, to);
        to.links++;
        to.changed = now;
      } else directory.entries.delete(name);
      if (from) {
        from.links--;
        from.changed = now;
      }
      for (const node of [from, to]) if (node) node.pending++;
      touch(directory, now);
    }
    this.#journal.add({ moment: ++this.#moment, changes });
  }

  #commit(operation: NameOperation): void {
    for (const { directory, name, to } of operation.changes) {
      if (to) directory.durableEntries.set(name, to);
      else directory.durableEntries.delete(name);
    }
    for (const { from, to } of operation.changes) {
      for (const node of [from, to]) {
        if (!node) continue;
        node.pending--;
        this.#release(node);
      }
    }
  }

  #release(node: DiskNode): void {
    if (node.links + node.opens + node.pending > 0) return;
    if (node.kind === "file") node.data.truncate(0, ++this.#moment);
    this.#used--;
  }
}

function byName(a: readonly [string, DiskNode], b: readonly [string, DiskNode]): number {
  return a[0] < b[0] ? -1 : 1;
}

function touch(node: DiskNode, now: number): void {
  node.modified = now;
  node.changed = now;
}

function resetCounts(node: DiskNode): void {
  node.links = 0;
  node.opens = 0;
  node.pending = 0;
}
