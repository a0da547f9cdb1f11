import { encodeValue, limitExceeded } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";

/**
 * Records hold more than what they are given.
 * @throws InvalidArgumentError LimitError
 */
export function assertFits({ limits }: Engine, value: unknown, name: string): void {
  const bytes = value === undefined ? 0 : encodeValue(value, name).length;
  const most = Math.floor(limits.valueBytes / 2);
  if (bytes > most) throw limitExceeded(name, bytes, most, "bytes encoded");
}
