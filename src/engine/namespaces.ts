import { encodeKey } from "../core/index.ts";

/**
 * Where things lie in an engine's key space. User keys are encoded tuples, whose first byte is never 0xFF; everything of our own is
 * under 0xFF, out of reach of any user range.
 *
 * | bytes | what |
 * |---|---|
 * | namespace tuple, key tuple | the user's keys |
 * | 0xFF, "blob", … | objects (`layers/blob-records.ts`) |
 * | 0xFF, "log", … | topics of engines without a log (`layers/topic-keys.ts`) |
 * | 0xFF, "bus", … | messages of engines without a bus (`layers/bus-over-keys.ts`) |
 * | 0xFF, "marker", id | idempotency markers (`marker.ts`) |
 */
export const systemPrefix: Uint8Array = new Uint8Array([0xff]);

/** The prefix of a part of the system's own keys. */
export function systemSpace(part: string): Uint8Array {
  return encodeKey([part], systemPrefix);
}
