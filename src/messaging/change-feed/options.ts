import {
  type ByteRange,
  compareBytes,
  encodeRange,
  invalidArgument,
  type KeyRange,
  refuseUnknown,
  toMilliseconds,
} from "../../core/index.ts";
import type { ChangeFeedOptions, FollowOptions } from "./contract.ts";

export interface Settings {
  readonly range: KeyRange;
  /** The same, encoded, within the namespace. */
  readonly bytes: ByteRange;
  /** Milliseconds. */
  readonly retention: number | undefined;
  /** Milliseconds. */
  readonly ttl: number;
  readonly segment: number;
}

const day = 24 * 3600 * 1000;

export function toSettings(options: ChangeFeedOptions): Settings {
  refuseUnknown(options, ["range", "retention", "ttl", "segment"]);
  const { range, retention, segment = 10_000 } = options;
  const bytes = encodeRange(range);
  if (compareBytes(bytes.start, bytes.end) >= 0) throw invalidArgument("range", range, "a range that is not empty");
  const own = encodeRange({ prefix: ["change-feed"] });
  if (compareBytes(bytes.start, own.end) < 0 && compareBytes(own.start, bytes.end) < 0)
    throw invalidArgument("range", range, 'a range without the keys below ["change-feed"], where feeds are kept');
  if (!Number.isInteger(segment) || segment < 100) throw invalidArgument("segment", segment, "a whole number from 100");
  return {
    range: structuredClone(range),
    bytes,
    retention: retention === undefined ? undefined : toMilliseconds(retention, "retention", { min: 1000 }),
    ttl: toMilliseconds(options.ttl ?? "15s", "ttl", { min: 100, max: day }),
    segment,
  };
}

export interface FollowSettings {
  readonly from: number | "end" | undefined;
  readonly batch: number;
  readonly signal: AbortSignal | undefined;
}

export function toFollowSettings(options: FollowOptions): FollowSettings {
  refuseUnknown(options, ["from", "batch", "signal"]);
  const { from, batch = 100, signal } = options;
  if (!Number.isInteger(batch) || batch < 1 || batch > 10_000)
    throw invalidArgument("batch", batch, "a whole number from 1 to 10000");
  return { from: from === undefined ? undefined : toFrom(from), batch, signal };
}

export function toFrom(from: unknown): number | "end" {
  if (from === "end" || (Number.isSafeInteger(from) && (from as number) >= 0)) return from as number | "end";
  throw invalidArgument("from", from, 'an offset, or "end"');
}

export function checkName(name: unknown): asserts name is string {
  if (typeof name !== "string" || name.length === 0 || name.length > 200)
    throw invalidArgument("name", name, "a text of 1 to 200 characters");
}
