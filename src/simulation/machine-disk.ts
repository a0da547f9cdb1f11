import { InvalidStateError } from "../core/index.ts";
import { createDice } from "./dice.ts";
import type { DiskChance } from "./disk/disk-faults.ts";
import { VirtualDisk } from "./disk/virtual-disk.ts";
import type { VirtualFs } from "./disk/virtual-fs.ts";
import type { FaultPlan } from "./fault-plan.ts";
import type { FaultKind } from "./faults.ts";
import type { Incarnation } from "./incarnation.ts";

/** The disk of one machine, made when it is first used. */
export interface MachineDisk {
  mount(incarnation: Incarnation): VirtualFs;
  crash(power: boolean): void;
  setFull(full: boolean): void;
}

const capacity = 64 * 2 ** 20;

/** The kinds of faults that the disk asks about, by its labels. */
const kinds: Readonly<Record<string, FaultKind>> = {
  "disk slow": "disk-slow",
  "disk read error": "disk-read-error",
  "disk write error": "disk-write-error",
  "disk short write": "disk-short-write",
  "disk sync error": "disk-sync-error",
  "disk torn sector": "torn-write",
};

export interface DiskOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  /** Whether a kind of fault does not befall the machine. */
  readonly isSpared: (kind: FaultKind) => boolean;
}

export function createMachineDisk(name: string, { seed, plan, isSpared }: DiskOptions): MachineDisk {
  let disk: VirtualDisk | undefined;
  let full = false;
  return {
    mount: (incarnation) => {
      disk ??= new VirtualDisk(createChance(name, { seed, plan, isSpared }), {
        // Any probability but 0: the plan decides.
        faults: { capacity, slow: 1, errorOnRead: 1, errorOnWrite: 1, shortWrite: 1, errorOnSync: 1, tear: 1 },
        metadata: createDice(seed, `file system ${name}`).hits(0.5) ? "ordered" : "posix",
      });
      if (full) disk.setFaults({ capacity: disk.used });
      return disk.mount(incarnation.runtime).fs;
    },
    crash: (power) => disk?.crash({ power }),
    setFull: (now) => {
      full = now;
      disk?.setFaults({ capacity: now ? disk.used : capacity });
    },
  };
}

/** For machines that have none. */
export const noDisk: MachineDisk = {
  mount: () => {
    throw new InvalidStateError("this machine has no disk");
  },
  crash: () => {},
  setFull: () => {},
};

function createChance(name: string, { seed, plan, isSpared }: DiskOptions): DiskChance {
  const dice = createDice(seed, `disk ${name}`);
  return {
    hits: (label, probability) => {
      const kind = kinds[label];
      if (kind === undefined) return dice.hits(probability);
      return !isSpared(kind) && plan.site(kind, name).strikes();
    },
    below: (_, n) => dice.below(n),
    between: (_, low, high) => dice.between(low, high),
  };
}
