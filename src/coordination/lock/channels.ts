import { channel } from "node:diagnostics_channel";

/** Something is held: `LockMessage` with `tokens` and `waitedMs`. */
export const acquired = channel("ashlar:lock:acquired");
/** Something was given back: `LockMessage` with `tokens` and `heldMs`. */
export const released = channel("ashlar:lock:released");
/** Something was not granted (timeout, abort, not free): `LockMessage` with `waitedMs`, and `error` if there was one. */
export const denied = channel("ashlar:lock:denied");

/** What the channels `ashlar:lock:…` carry, for locks, read–write locks and semaphores. */
export interface LockMessage {
  readonly kind: "lock" | "read-write" | "semaphore";
  readonly names: readonly string[];
  /** Permits of each. */
  readonly weight: number;
  readonly tokens?: readonly number[];
  readonly waitedMs?: number;
  readonly heldMs?: number;
  readonly error?: unknown;
}
