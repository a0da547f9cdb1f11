import { keys, type StoredJob } from "./layout.ts";

/** Jobs that one process has taken in one commit, and how far it has got with them. */
export class Claim {
  readonly lease: string;
  readonly number: number;
  readonly size: number;
  /** Jobs that are surely settled. */
  settled: number;
  /** Whether bits were written, and have to be removed with the claim. */
  marked: boolean;
  /** Somebody else has taken it over, or will: nothing of it is ours any more. */
  lost = false;

  constructor(lease: string, number: number, size: number, already: { settled: number; marked: boolean } = none) {
    this.lease = lease;
    this.number = number;
    this.size = size;
    this.settled = already.settled;
    this.marked = already.marked;
  }

  get key() {
    return keys.claim(this.lease, this.number);
  }

  get doneKey() {
    return keys.done(this.lease, this.number);
  }
}

const none = { settled: 0, marked: false };

/** One job of a claim. */
export interface Slot {
  readonly claim: Claim;
  /** Which of the claim's jobs: 0 to `slotsPerClaim - 1`. */
  readonly index: number;
  readonly id: string;
  readonly job: StoredJob;
  /** Whether the store has an entry of its own for it, besides the claim. */
  readonly stored: boolean;
  /** Whether progress was told. */
  progressed: boolean;
}

/** The bit of the claim's `done` sum. */
export function bitOf(index: number): number {
  return 2 ** index;
}

/** Whether the bit is set; sums of bits go beyond the 32 of the bit operators. */
export function hasBit(sum: number, index: number): boolean {
  return Math.floor(sum / 2 ** index) % 2 === 1;
}
