import type { Key } from "../../core/index.ts";

/**
 * Leases lie at the root of the store, whatever the scope of the blocks that use them, so that one heartbeat renews all of a process.
 *
 * | key | value |
 * |---|---|
 * | `["lease", id]` | milliseconds that it lives after each renewal; the entry's time to live is that of the lease |
 *
 * An id is never used again: once its entry is gone, the lease is over for good.
 */
export function leaseKey(id: string): Key {
  return ["lease", id];
}
