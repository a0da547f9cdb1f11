import { createHash } from "node:crypto";
import { compareBytes } from "../../core/index.ts";
import type { RawRangeCheck } from "../driver.ts";

/**
 * What a range held, as a digest that the server computes likewise (`held_1`): of each entry in key order its revision (8 bytes), the length of its
 * key (4 bytes) and its key. `undefined` if it held nothing.
 *
 * Counting the entries and comparing their greatest revision would be cheaper, but is wrong for a range that was read in several pages: a key may
 * have appeared behind the first page's reader while the second page was still to come, and another one gone since.
 */
export function digestOf(keys: readonly Uint8Array[], revisions: readonly number[]): Uint8Array | undefined {
  if (keys.length === 0) return undefined;
  const hash = createHash("sha256");
  const entry = Buffer.allocUnsafe(12);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as Uint8Array;
    entry.writeBigInt64BE(BigInt(revisions[i] as number), 0);
    entry.writeInt32BE(key.length, 8);
    hash.update(entry).update(key);
  }
  return hash.digest();
}

/** A digest that nothing has. */
export const noDigest: Uint8Array = new Uint8Array(32);

/** Whether any range can hold what is expected: keys inside it, ascending. */
export function isPossible({ start, end, keys }: RawRangeCheck): boolean {
  return keys.every((key, i) => {
    const before = keys[i - 1];
    return (
      compareBytes(key, start) >= 0 &&
      compareBytes(key, end) < 0 &&
      (before === undefined || compareBytes(before, key) < 0)
    );
  });
}
