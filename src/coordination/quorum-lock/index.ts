/** Locks that a majority of several independent engines grants (Redlock), with fencing tokens. */
export type { QuorumLock } from "./hold.ts";
export type { Holder } from "./keys.ts";
export type { QuorumHoldOptions, QuorumLockOptions } from "./options.ts";
export { createQuorumLocks, type QuorumLocks } from "./quorum-locks.ts";
