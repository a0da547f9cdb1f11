import { createFifo } from "./fifo.ts";
import { createLfu } from "./lfu.ts";
import { createLru } from "./lru.ts";
import { createS3Fifo } from "./s3-fifo.ts";
import { createTinyLfu } from "./w-tinylfu.ts";

/** Which entry leaves when room is needed. Entries are slots: small integers that the store gives out and takes back. */
export interface Policy {
  /** Makes room for the slots 0 to `slots - 1`. */
  grow(slots: number): void;
  /** A new entry in this slot, after there is room for it. */
  insert(slot: number, key: unknown): void;
  /** The entry was read, or its value replaced. */
  access(slot: number): void;
  /** Evicts one entry of those that there are (at least one), and says which. Its slot is free. */
  evict(): number;
  /** Takes out an entry that leaves for another reason. */
  remove(slot: number): void;
  clear(): void;
}

/** The names of the policies. */
export type Eviction = "lru" | "fifo" | "lfu" | "s3-fifo" | "w-tinylfu";

/** Each takes the number of entries that the store holds at most; `Infinity` where only their weight is limited. */
export const policies: Readonly<Record<Eviction, (capacity: number) => Policy>> = {
  lru: createLru,
  fifo: createFifo,
  lfu: createLfu,
  "s3-fifo": createS3Fifo,
  "w-tinylfu": createTinyLfu,
};
