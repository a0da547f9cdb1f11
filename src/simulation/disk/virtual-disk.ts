import { invalidArgument, type Runtime } from "../../core/index.ts";
import {
  type DiskChance,
  type DiskFaultCounts,
  type DiskFaults,
  healthyDisk,
  noFaultsYet,
  withFaults,
} from "./disk-faults.ts";
import { createFs } from "./mounted-fs.ts";
import type { MetadataRules } from "./name-journal.ts";
import type { DirectoryNode, FileNode } from "./nodes.ts";
import { type DiskHardware, SessionCalls } from "./session-calls.ts";
import type { VirtualFs } from "./virtual-fs.ts";
import { Volume } from "./volume.ts";

export interface VirtualDiskOptions {
  /** What goes wrong; fields left out are as on `healthyDisk`. */
  readonly faults?: Partial<DiskFaults>;
  /** Bytes that the medium writes as one; default 512. A larger one makes tearing rarer and the disk faster. */
  readonly sectorSize?: number;
  /** How names become durable; default "ordered". */
  readonly metadata?: MetadataRules;
}

/** The disk as one process sees it. */
export interface DiskSession {
  readonly fs: VirtualFs;
  /** The process dies: no call of it happens or settles any more, and its handles are gone. */
  kill(): void;
  readonly isAlive: boolean;
}

/** A file as it would be after a loss of power that takes all that it may. */
export interface DurableFile {
  readonly path: string;
  readonly content: Uint8Array;
}

/**
 * A disk that keeps what a machine's processes write, and forgets or garbles it as real ones do.
 *
 * Every operation takes virtual time and then happens at once; what a call does in several system calls (`writeFile`,
 * `copyFile`, `rm`) happens in as many steps, and a crash may come between any two.
 *
 * *Content.* What is written is in the page cache, where all processes of the machine see it. It is durable once a `sync`
 * or `datasync` of the file has ended well that began after the write had ended. A loss of power treats each sector that
 * was not synced on its own: it survives, is lost (the old bytes, or zeros), or is torn (a part new, the rest
 * old). So does the size: it survives, is the old one, or lies at a sector between. Thus a file whose name survives may be
 * empty or full of zeros: "rename without fsync" (Pillai et al., OSDI 2014) is a bug here too.
 *
 * *Names*: what creates, renames, links and removes. Each is atomic: a rename shows the old names or the new ones.
 * "ordered", as on journalling file systems: they become durable in the order in which they were made, and a loss of power
 * undoes some number of the last ones. A sync makes durable the names of the file or directory synced, those in the
 * directory, and so all earlier ones; the sync of a new file is enough to find it again. "posix": only a sync of the
 * directory makes its names durable, and a loss of power undoes any of the others, each on its own, as long as that
 * cannot lose or duplicate a file that was safe. With either, what is not synced may become durable by itself: the
 * oldest changes of names do when some thousands wait, and all of them when the disk is full.
 *
 * *Failed syncs* (Rebello et al., ATC 2020). After EIO the pages that were to be written count as clean: readers still see
 * them, the next sync succeeds without writing them, and a loss of power takes them. Names wait for the next sync.
 *
 * *Full disk*. A write takes what fits, and says how much; ENOSPC if that is nothing. A removed file keeps its space while
 * a handle or the medium still has it.
 *
 * A process that dies takes nothing with it but its handles and the calls under way, which then never happen.
 */
export class VirtualDisk {
  readonly #hardware: DiskHardware;
  readonly #sessions = new Set<SessionCalls>();
  #faults: DiskFaults;

  /** @throws InvalidArgumentError a sector size that is not a power of two from 16 to 65536, or faults out of bounds */
  constructor(chance: DiskChance, options: VirtualDiskOptions = {}) {
    const { sectorSize = 512, metadata = "ordered" } = options;
    if (!(Number.isInteger(Math.log2(sectorSize)) && sectorSize >= 16 && sectorSize <= 65_536))
      throw invalidArgument("options.sectorSize", sectorSize, "a power of two, 16 to 65536");
    if (metadata !== "ordered" && metadata !== "posix")
      throw invalidArgument("options.metadata", metadata, '"ordered" or "posix"');
    this.#faults = withFaults(healthyDisk, options.faults ?? {});
    const volume = new Volume({ sectorSize, metadata, capacity: () => this.#faults.capacity });
    this.#hardware = { volume, chance, counts: noFaultsYet(), faults: () => this.#faults };
  }

  /** What goes wrong now. */
  get faults(): DiskFaults {
    return this.#faults;
  }

  /**
   * Changes the given fields, for operations that are called or end from now on.
   * @throws InvalidArgumentError faults out of bounds
   */
  setFaults(changes: Partial<DiskFaults>): void {
    this.#faults = withFaults(this.#faults, changes);
  }

  /** What has gone wrong so far. */
  get faultCounts(): Readonly<DiskFaultCounts> {
    return { ...this.#hardware.counts };
  }

  /** Bytes taken: whole sectors, and one for each file and directory. */
  get used(): number {
    return this.#hardware.volume.used;
  }

  /** The file system for one process; several may mount a disk at once. `runtime` is that process's. */
  mount(runtime: Runtime): DiskSession {
    const calls = new SessionCalls(this.#hardware, runtime);
    this.#sessions.add(calls);
    return {
      fs: createFs(calls),
      kill: () => {
        calls.kill();
        this.#sessions.delete(calls);
      },
      get isAlive() {
        return calls.isAlive;
      },
    };
  }

  /** All processes die. With `power` the page cache goes too, and what was not synced meets its fate; without, it stays. */
  crash(options: { readonly power: boolean }): void {
    for (const calls of this.#sessions) calls.kill();
    this.#sessions.clear();
    const { volume, chance, counts } = this.#hardware;
    if (options.power) volume.losePower(chance, this.#faults, counts);
  }

  /** What is sure to be in the file after a loss of power; undefined: its name is not durable. */
  durable(path: string): Uint8Array | undefined {
    let found: FileNode | DirectoryNode | undefined = this.#hardware.volume.root;
    for (const part of path.split("/")) {
      if (part === "") continue;
      found = found?.kind === "directory" ? found.durableEntries.get(part) : undefined;
    }
    return found?.kind === "file" ? found.data.durableContent() : undefined;
  }

  /** Paths of all files, as processes see them, in the order of directories, then names. */
  files(): string[] {
    return listFiles(this.#hardware.volume.root, "", (directory) => directory.entries);
  }

  /** Paths and content of all files whose names are durable. */
  durableFiles(): DurableFile[] {
    const paths = listFiles(this.#hardware.volume.root, "", (directory) => directory.durableEntries);
    return paths.map((path) => ({ path, content: this.durable(path) ?? new Uint8Array() }));
  }
}

function listFiles(
  directory: DirectoryNode,
  path: string,
  entriesOf: (directory: DirectoryNode) => DirectoryNode["entries"],
): string[] {
  const entries = [...entriesOf(directory)].sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.flatMap(([name, node]) =>
    node.kind === "file" ? [`${path}/${name}`] : listFiles(node, `${path}/${name}`, entriesOf),
  );
}
