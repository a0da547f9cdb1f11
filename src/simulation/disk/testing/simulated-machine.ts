import { createManualRuntime, type ManualRuntime } from "../../../core/testing/manual-runtime.ts";
import type { DiskChance } from "../disk-faults.ts";
import { type DiskSession, VirtualDisk, type VirtualDiskOptions } from "../virtual-disk.ts";
import type { VirtualFs } from "../virtual-fs.ts";
import { createSeededChance } from "./seeded-chance.ts";

/** One machine with one disk and one process. */
export interface SimulatedMachine {
  readonly runtime: ManualRuntime;
  readonly disk: VirtualDisk;
  /** The present process's. */
  readonly session: DiskSession;
  readonly fs: VirtualFs;
  /** Moves time on until `work` has settled. Throws if it never will. */
  run<T>(work: Promise<T>): Promise<T>;
  /** A crash, then a new process. */
  restart(options: { readonly power: boolean }): void;
}

export function createMachine(chance: DiskChance | number = 1, options: VirtualDiskOptions = {}): SimulatedMachine {
  const runtime = createManualRuntime();
  const disk = new VirtualDisk(typeof chance === "number" ? createSeededChance(chance) : chance, options);
  let session = disk.mount(runtime);
  return {
    runtime,
    disk,
    get session() {
      return session;
    },
    get fs() {
      return session.fs;
    },
    run: (work) => drive(runtime, work),
    restart: (how) => {
      disk.crash(how);
      session = disk.mount(runtime);
    },
  };
}

/** Milliseconds; small, so that `run` leaves slower work under way. */
const step = 1;

async function drive<T>(runtime: ManualRuntime, work: Promise<T>): Promise<T> {
  let settled = false;
  const mark = () => {
    settled = true;
  };
  work.then(mark, mark);
  await runtime.advance(0);
  while (!settled) {
    if (runtime.pending === 0) throw new Error("the work waits for nothing that will happen");
    await runtime.advance(step);
  }
  return await work;
}
