import { encodeValue } from "../../core/index.ts";
import type { Limits } from "../../engine/index.ts";

/** As many from the beginning as one commit holds; at least one. */
export function fitting<T>(
  items: readonly T[],
  limits: Limits,
  most: number,
  bytesOf: (item: T) => number,
): readonly T[] {
  let bytes = 0;
  let count = 0;
  while (count < items.length && count < most) {
    bytes += bytesOf(items[count] as T);
    if (count > 0 && bytes > limits.commitBytes / 2) break;
    count++;
  }
  return items.slice(0, count);
}

/** Bytes of a job that is written anew, with what it has besides its data. */
export function bytesOfJob({ data }: { readonly data: unknown }): number {
  return encodeValue(data).length + 4096;
}
