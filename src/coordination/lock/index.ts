/** Locks, read–write locks and semaphores, held under leases, with fencing tokens and fair queues. */
export type { LockMessage } from "./channels.ts";
export type { Hold } from "./hold.ts";
export { createLocks, type Lock, type Locks } from "./locks.ts";
export type { HoldOptions, LockingOptions } from "./options.ts";
export { createReadWriteLock, type ReadWriteLock } from "./read-write-lock.ts";
export { createSemaphore, type PermitOptions, type Semaphore, type SemaphoreOptions } from "./semaphore.ts";
export type { Claimant, LockState } from "./state.ts";
