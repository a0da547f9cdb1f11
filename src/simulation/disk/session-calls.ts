import type { Runtime } from "../../core/index.ts";
import { type DiskChance, type DiskFaultCounts, type DiskFaults, hits } from "./disk-faults.ts";
import { describeFailure, type FsCall, FsRefusal } from "./fs-error.ts";
import type { DiskNode, FileNode } from "./nodes.ts";
import type { Volume } from "./volume.ts";

/** What a disk gives to the processes that mount it. */
export interface DiskHardware {
  readonly volume: Volume;
  readonly chance: DiskChance;
  readonly counts: DiskFaultCounts;
  /** As they are now. */
  readonly faults: () => DiskFaults;
}

/** What an operation does to the medium, which decides the faults that it may meet. */
export type Effect = "none" | "read" | "write";

/** The system calls of one process: each takes its time, then happens at once, and for a dead process never. */
export class SessionCalls {
  readonly #hardware: DiskHardware;
  readonly #runtime: Runtime;
  readonly #open = new Map<number, DiskNode>();
  #lastFd = 2;
  #alive = true;

  constructor(hardware: DiskHardware, runtime: Runtime) {
    this.#hardware = hardware;
    this.#runtime = runtime;
  }

  get volume(): Volume {
    return this.#hardware.volume;
  }

  get runtime(): Runtime {
    return this.#runtime;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  /** Wall clock. */
  now(): number {
    return this.#runtime.clock.now();
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const node of this.#open.values()) this.volume.close(node);
    this.#open.clear();
  }

  /** Runs `action` when its time has come; its refusal rejects with Node's error for `call`. */
  run<T>(call: FsCall, effect: Effect, action: () => T): Promise<T> {
    return this.#after(call, () => {
      this.#meetFault(effect);
      return action();
    });
  }

  /** Makes durable what is there when it is called; what comes meanwhile is for the next sync. */
  sync(call: FsCall, node: DiskNode): Promise<void> {
    if (!this.#alive) return never();
    const { chance, counts, faults, volume } = this.#hardware;
    const snapshot = volume.beginSync(node);
    return this.#after(call, () => {
      if (hits(chance, "disk sync error", faults().errorOnSync)) {
        counts.syncErrors++;
        volume.failSync(node, snapshot);
        throw new FsRefusal("EIO");
      }
      volume.endSync(node, snapshot);
    });
  }

  /** Puts a node into the table of open files and returns its number. */
  addOpen(node: DiskNode): number {
    this.volume.open(node);
    this.#open.set(++this.#lastFd, node);
    return this.#lastFd;
  }

  closeOpen(fd: number): void {
    const node = this.#open.get(fd);
    if (!node) return;
    this.#open.delete(fd);
    this.volume.close(node);
  }

  readData(node: FileNode, target: Uint8Array, position: number): number {
    const { chance, counts, faults, volume } = this.#hardware;
    const { corrupt } = faults();
    const end = Math.min(position + target.length, node.data.size);
    if (corrupt > 0) {
      for (let sector = Math.floor(position / volume.sectorSize); sector * volume.sectorSize < end; sector++) {
        if (chance.hits("disk corrupt", corrupt) && node.data.corrupt(sector, chance)) counts.corruptSectors++;
      }
    }
    return node.data.read(target, position);
  }

  writeData(node: FileNode, source: Uint8Array, position: number): number {
    const { chance, counts, faults, volume } = this.#hardware;
    const { shortWrite } = faults();
    let part = source;
    if (source.length > 1 && hits(chance, "disk short write", shortWrite)) {
      counts.shortWrites++;
      part = source.subarray(0, 1 + chance.below("disk short write at", source.length - 1));
    }
    return volume.write(node, part, position, this.now());
  }

  #after<T>(call: FsCall, action: () => T): Promise<T> {
    if (!this.#alive) return never();
    return new Promise((resolve, reject) => {
      this.#runtime.timers.after(this.#latency(), () => {
        if (!this.#alive) return;
        try {
          resolve(action());
        } catch (error) {
          if (error instanceof FsRefusal && error.code === "ENOSPC") this.#hardware.counts.noSpace++;
          reject(describeFailure(error, call));
        }
      });
    });
  }

  #latency(): number {
    const { chance, counts, faults } = this.#hardware;
    const { latency, slow } = faults();
    const [low, high] = latency;
    const ms = low === high ? low : chance.between("disk latency", low, high);
    if (!hits(chance, "disk slow", slow)) return ms;
    counts.slow++;
    return ms * chance.between("disk slowness", 10, 100);
  }

  #meetFault(effect: Effect): void {
    const { chance, counts, faults } = this.#hardware;
    if (effect === "read" && hits(chance, "disk read error", faults().errorOnRead)) {
      counts.readErrors++;
      throw new FsRefusal("EIO");
    }
    if (effect === "write" && hits(chance, "disk write error", faults().errorOnWrite)) {
      counts.writeErrors++;
      throw new FsRefusal("EIO");
    }
  }
}

/** What a dead process waits for. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
