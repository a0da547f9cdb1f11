/** Barriers, which a number of parties pass together, and latches, which open when enough has been done. */
export { type ArriveOptions, type Barrier, type BarrierOptions, createBarrier, type Passage } from "./barrier.ts";
export { createLatch, type Latch, type LatchOptions } from "./latch.ts";
