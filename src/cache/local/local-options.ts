import {
  type Duration,
  encodeValue,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../../core/index.ts";
import { type Eviction, policies } from "./policy.ts";

/** Why an entry left. */
export type RemovalReason = "evicted" | "expired" | "deleted" | "replaced";

/** At least one of `maxEntries`, `maxBytes` and `maxCost` must be given. */
export interface LocalCacheOptions<K, V> {
  /** Entries at most; 1 or more. Default: no bound. */
  readonly maxEntries?: number;
  /** Bytes at most, as `sizeOf` counts them. A value larger than all of it is not stored. Default: no bound. */
  readonly maxBytes?: number;
  /** Bytes of an entry. Default: what the value takes encoded, which costs about as much as `structuredClone`. */
  readonly sizeOf?: (value: V, key: K) => number;
  /** Cost at most, as `weigh` counts it. A value that costs more alone is not stored. Default: no bound. */
  readonly maxCost?: number;
  /** Cost of an entry, in any unit: 0 or more. Needed with `maxCost`. */
  readonly weigh?: (value: V, key: K) => number;
  /** How long an entry lives after it was set. Default: until it is evicted. */
  readonly ttl?: Duration;
  /** How long an entry lives after it was last read or set. Default: until it is evicted. */
  readonly idle?: Duration;
  /** Which entry leaves when room is needed. Default "s3-fifo". */
  readonly eviction?: Eviction;
  /** Called after an entry has left, when the cache may be used again. What it throws comes out of the call that removed the entry. */
  readonly onRemove?: (value: V, key: K, reason: RemovalReason) => void;
  /** How exactly the clock is read: an expired entry may be seen this much longer, or within a synchronous stretch for 256 reads. 0: exactly. Default "1ms". */
  readonly clockResolution?: Duration;
  /** Clock and timers. Default: the system's. */
  readonly runtime?: Pick<Runtime, "clock" | "timers">;
}

const names: readonly string[] = [
  "maxEntries",
  "maxBytes",
  "sizeOf",
  "maxCost",
  "weigh",
  "ttl",
  "idle",
  "eviction",
  "onRemove",
  "clockResolution",
  "runtime",
];

/** The options, checked and with their defaults. `Infinity` stands for no bound. */
export interface LocalSettings<K, V> {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly sizeOf: (value: V, key: K) => number;
  readonly maxCost: number;
  readonly weigh: (value: V, key: K) => number;
  readonly ttl: number;
  readonly idle: number;
  readonly eviction: Eviction;
  readonly onRemove: ((value: V, key: K, reason: RemovalReason) => void) | undefined;
  readonly clockResolution: number;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
}

/** Slots are 32-bit integers, and a ghost takes one too. */
const entriesAtMost = 2 ** 30;

/** @throws InvalidArgumentError naming the option */
export function checkLocalOptions<K, V>(options: LocalCacheOptions<K, V>, at = "options"): LocalSettings<K, V> {
  refuseUnknown(options, names, at);
  const { maxEntries, maxBytes, maxCost, sizeOf, weigh, eviction = "s3-fifo", onRemove } = options;
  if (maxEntries === undefined && maxBytes === undefined && maxCost === undefined) {
    throw invalidArgument(`${at}.maxEntries`, maxEntries, "a bound: maxEntries, or maxBytes, or maxCost with weigh");
  }
  const bounded = maxEntries === undefined || (Number.isInteger(maxEntries) && maxEntries >= 1);
  if (!bounded || (maxEntries ?? 0) > entriesAtMost) {
    throw invalidArgument(`${at}.maxEntries`, maxEntries, `a whole number from 1 to ${entriesAtMost}`);
  }
  checkPositive(`${at}.maxBytes`, maxBytes);
  checkPositive(`${at}.maxCost`, maxCost);
  if ((maxCost === undefined) !== (weigh === undefined)) {
    throw invalidArgument(`${at}.${maxCost === undefined ? "maxCost" : "weigh"}`, undefined, "both of maxCost, weigh");
  }
  if (sizeOf !== undefined && maxBytes === undefined) {
    throw invalidArgument(`${at}.maxBytes`, maxBytes, "a number of bytes, because sizeOf is given");
  }
  for (const [name, given] of Object.entries({ sizeOf, weigh, onRemove })) {
    if (given !== undefined && typeof given !== "function") throw invalidArgument(`${at}.${name}`, given, "a function");
  }
  if (!Object.hasOwn(policies, eviction)) {
    throw invalidArgument(`${at}.eviction`, eviction, Object.keys(policies).join(", "));
  }
  return {
    maxEntries: maxEntries ?? Number.POSITIVE_INFINITY,
    maxBytes: maxBytes ?? Number.POSITIVE_INFINITY,
    sizeOf: sizeOf ?? encodedSize,
    maxCost: maxCost ?? Number.POSITIVE_INFINITY,
    weigh: weigh ?? (() => 0),
    ttl: lifetime(options.ttl, `${at}.ttl`),
    idle: lifetime(options.idle, `${at}.idle`),
    eviction,
    onRemove,
    clockResolution: toMilliseconds(options.clockResolution ?? 1, `${at}.clockResolution`, { max: 60_000 }),
    runtime: options.runtime ?? systemRuntime,
  };
}

/** Milliseconds, more than 0; `Infinity` if there is no end. */
export function lifetime(duration: Duration | undefined, name: string): number {
  if (duration === undefined || duration === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  const milliseconds = toMilliseconds(duration, name);
  if (milliseconds > 0) return milliseconds;
  throw invalidArgument(name, duration, "a duration of more than 0 ms");
}

function checkPositive(name: string, given: number | undefined): void {
  if (given === undefined || (given > 0 && given < Number.POSITIVE_INFINITY)) return;
  throw invalidArgument(name, given, "a finite number above 0");
}

function encodedSize(value: unknown): number {
  return encodeValue(value).length;
}
