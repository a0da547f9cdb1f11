import type { DirectoryNode, DiskNode } from "./nodes.ts";

/** A name leads to another node from now on, or (`to` undefined) to none. */
export interface NameChange {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly from: DiskNode | undefined;
  readonly to: DiskNode | undefined;
}

/** One create, link, rename, unlink: its changes take effect together or not at all. */
export interface NameOperation {
  readonly moment: number;
  readonly changes: readonly NameChange[];
}

/** How changes of names become durable; see `VirtualDisk`. */
export type MetadataRules = "ordered" | "posix";

/** The journal's length at which the oldest changes are written back, as file systems do every few seconds. */
const mostPending = 4096;

/** The changes of names that are not durable yet, oldest first. */
export class NameJournal {
  readonly #rules: MetadataRules;
  readonly #commit: (operation: NameOperation) => void;
  #pending: NameOperation[] = [];

  /** @param commit makes an operation durable; called in the order of the operations */
  constructor(rules: MetadataRules, commit: (operation: NameOperation) => void) {
    this.#rules = rules;
    this.#commit = commit;
  }

  get length(): number {
    return this.#pending.length;
  }

  add(operation: NameOperation): void {
    this.#pending.push(operation);
    if (this.#pending.length >= mostPending) {
      for (const old of this.#pending.splice(0, mostPending / 2)) this.#commit(old);
    }
  }

  /** `node` was synced by a sync that began at `moment`. */
  sync(node: DiskNode, moment: number): void {
    if (this.#rules === "ordered") {
      const last = this.#pending.findLastIndex((operation) => operation.moment <= moment && concerns(operation, node));
      for (const operation of this.#pending.splice(0, last + 1)) this.#commit(operation);
    } else if (node.kind === "directory") {
      this.#settle(
        (operation) => operation.moment <= moment && operation.changes.some(({ directory }) => directory === node),
      );
    }
  }

  /** Makes everything durable. */
  flush(): void {
    for (const operation of this.#pending.splice(0)) this.#commit(operation);
  }

  /**
   * The power goes: `survives` is asked for operations that may be lost on their own. Returns how many are lost.
   */
  losePower(survives: () => boolean): number {
    const before = this.#pending.length;
    let lost = before;
    if (this.#rules === "ordered") {
      let kept = 0;
      while (kept < before && survives()) kept++;
      for (const operation of this.#pending.splice(0, kept)) this.#commit(operation);
      lost = before - kept;
    } else lost = before - this.#settle(survives);
    this.#pending = [];
    return lost;
  }

  /** Commits the operations that are wanted, with those that they rest on; returns how many. */
  #settle(wanted: (operation: NameOperation) => boolean): number {
    const needs = new Needs();
    const chosen = new Set<NameOperation>();
    for (const operation of this.#pending.toReversed()) {
      // Always asked, so that the number of draws does not depend on the answers.
      const isWanted = wanted(operation);
      if (!isWanted && !needs.include(operation)) continue;
      needs.add(operation);
      chosen.add(operation);
    }
    const rest: NameOperation[] = [];
    for (const operation of this.#pending) {
      if (chosen.has(operation)) this.#commit(operation);
      else rest.push(operation);
    }
    this.#pending = rest;
    return chosen.size;
  }
}

function concerns(operation: NameOperation, node: DiskNode): boolean {
  return operation.changes.some(({ directory, from, to }) => directory === node || from === node || to === node);
}

/**
 * What must be on the medium before an operation, so that no order of writing can duplicate or lose a file that was safe
 * (soft updates, Ganger & Patt, OSDI 1994): what gave earlier names to the same nodes or changed the same names; what moved
 * something out of a directory that goes; what made the directory that something moves into; and, as moves could otherwise
 * tie a knot, the earlier moves of directories before a later one.
 */
class Needs {
  readonly #names = new Map<DirectoryNode, Set<string>>();
  readonly #nodes = new Set<DiskNode>();
  readonly #emptied = new Set<DiskNode>();
  readonly #anchors = new Set<DiskNode>();
  #directoryMoves = false;

  add(operation: NameOperation): void {
    const isAnchored = isMove(operation) || this.#makesAnchor(operation);
    for (const { directory, name, from, to } of operation.changes) {
      const names = this.#names.get(directory) ?? new Set();
      this.#names.set(directory, names.add(name));
      if (from) this.#nodes.add(from);
      if (to) this.#nodes.add(to);
      if (from?.kind === "directory" && !operation.changes.some((change) => change.to === from))
        this.#emptied.add(from);
      if (to && isAnchored) this.#anchors.add(directory);
    }
    if (movesDirectory(operation)) this.#directoryMoves = true;
  }

  include(operation: NameOperation): boolean {
    if (this.#directoryMoves && movesDirectory(operation)) return true;
    if (this.#makesAnchor(operation)) return true;
    return operation.changes.some(
      ({ directory, name, to }) =>
        this.#names.get(directory)?.has(name) || this.#emptied.has(directory) || (to && this.#nodes.has(to)),
    );
  }

  #makesAnchor(operation: NameOperation): boolean {
    return !isMove(operation) && operation.changes.some(({ to }) => to && this.#anchors.has(to));
  }
}

function isMove(operation: NameOperation): boolean {
  return operation.changes.length > 1;
}

function movesDirectory(operation: NameOperation): boolean {
  return isMove(operation) && operation.changes.some(({ to }) => to?.kind === "directory");
}
