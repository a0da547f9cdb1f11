import { invalidArgument } from "../../core/index.ts";

/** Decides what goes wrong. Each label names the decision; the simulator draws them from the seed. */
export interface DiskChance {
  hits(label: string, probability: number): boolean;
  /** An integer in [0, n). */
  below(label: string, n: number): number;
  between(label: string, low: number, high: number): number;
}

/** How a disk behaves. Probabilities are in [0, 1] and hold per occasion. */
export interface DiskFaults {
  /** How long an operation takes: evenly between the two, in milliseconds. */
  readonly latency: readonly [low: number, high: number];
  /** That an operation takes ten to a hundred times as long. */
  readonly slow: number;
  /** That `sync` or `datasync` fails with EIO; what it was to make durable is then lost for good, and no later sync says so. */
  readonly errorOnSync: number;
  /** That a read (of data or of a directory) fails with EIO. */
  readonly errorOnRead: number;
  /** That a write, or a change of names, fails with EIO and has no effect. */
  readonly errorOnWrite: number;
  /** That a write of two bytes or more is cut short, and says so. */
  readonly shortWrite: number;
  /** Bytes; what does not fit fails with ENOSPC. Each file and directory takes a sector besides its data. */
  readonly capacity: number;
  /** That an unsynced sector is half new, half old after a loss of power. */
  readonly tear: number;
  /** That an unsynced sector, size or name survives a loss of power, if it is not torn. */
  readonly keepUnsynced: number;
  /** That a sector, when read, is found to have one bit flipped, from then on and without an error. */
  readonly corrupt: number;
}

/** A disk that never fails while the power is on; a loss of power keeps half of what was not synced and tears a tenth of it. */
export const healthyDisk: DiskFaults = {
  latency: [0.02, 0.2],
  slow: 0,
  errorOnSync: 0,
  errorOnRead: 0,
  errorOnWrite: 0,
  shortWrite: 0,
  capacity: 64 * 2 ** 20,
  tear: 0.1,
  keepUnsynced: 0.5,
  corrupt: 0,
};

const probabilities = [
  "slow",
  "errorOnSync",
  "errorOnRead",
  "errorOnWrite",
  "shortWrite",
  "tear",
  "keepUnsynced",
  "corrupt",
] as const;

/**
 * `base` with the given fields replaced.
 * @throws InvalidArgumentError a probability outside [0, 1], a latency that is negative or upside down, a negative capacity
 */
export function withFaults(base: DiskFaults, changes: Partial<DiskFaults>): DiskFaults {
  const faults = { ...base, ...changes };
  for (const name of probabilities) {
    const given = faults[name];
    if (!(given >= 0 && given <= 1)) throw invalidArgument(`faults.${name}`, given, "a probability, 0 to 1");
  }
  const [low, high] = faults.latency;
  if (!(low >= 0 && high >= low && high < Number.POSITIVE_INFINITY))
    throw invalidArgument("faults.latency", faults.latency, "[low, high] in milliseconds, 0 <= low <= high");
  if (!(faults.capacity >= 0))
    throw invalidArgument("faults.capacity", faults.capacity, "a number of bytes, 0 or more");
  return faults;
}

/** Asks `chance`, but not about what cannot be: a fault that is off takes no draw. */
export function hits(chance: DiskChance, label: string, probability: number): boolean {
  return probability > 0 && chance.hits(label, probability);
}

/** What has gone wrong on a disk so far, by kind. */
export interface DiskFaultCounts {
  slow: number;
  readErrors: number;
  writeErrors: number;
  syncErrors: number;
  noSpace: number;
  shortWrites: number;
  corruptSectors: number;
  /** At losses of power: unsynced sectors half written, and not written at all. */
  tornSectors: number;
  lostSectors: number;
  /** At losses of power: changes of names that were undone. */
  lostNames: number;
}

export function noFaultsYet(): DiskFaultCounts {
  return {
    slow: 0,
    readErrors: 0,
    writeErrors: 0,
    syncErrors: 0,
    noSpace: 0,
    shortWrites: 0,
    corruptSectors: 0,
    tornSectors: 0,
    lostSectors: 0,
    lostNames: 0,
  };
}
