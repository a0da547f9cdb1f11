import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { AcquireOptions } from "./claims.ts";
import type { Share } from "./resource.ts";

/** For all that is made with them. */
export interface LockingOptions {
  /**
   * Time to live of the lease under which locks are held: how soon after the death of a holder others may have it, and how long a pause or a cut in the connection
   * a holder survives. 100 ms to 1 day. Default "15s". Renewed by itself as long as the process lives: it is no limit on how long something is held.
   */
  readonly ttl?: Duration;
  /** Who this process is, for people who look. Default: nothing. 1 to 200 characters. */
  readonly owner?: string;
}

/** For one acquisition. */
export interface HoldOptions {
  /** How long to wait at most; 0 or more, `Infinity` for as long as it takes. Default "30s". */
  readonly timeout?: Duration;
  /** Its abort ends the wait with its reason; nothing is held then. It does not concern what is held already. */
  readonly signal?: AbortSignal;
  /** Instead of the one given at the making. A process may use up to 16 different ones at a time. */
  readonly ttl?: Duration;
}

export interface Defaults {
  readonly ttl: number;
  readonly owner: string | undefined;
}

const ofLocking = ["ttl", "owner"];
const ofHolds = ["timeout", "signal", "ttl"];

/** @param more names of options that there are besides */
export function toDefaults(options: LockingOptions, more: readonly string[] = []): Defaults {
  refuseUnknown(options, [...ofLocking, ...more]);
  const { owner } = options;
  if (owner !== undefined && (typeof owner !== "string" || owner.length === 0 || owner.length > 200))
    throw invalidArgument("owner", owner, "a text of 1 to 200 characters");
  return { ttl: toTtl(options.ttl ?? "15s"), owner };
}

export function toAcquire(
  shares: readonly Share[],
  options: HoldOptions,
  defaults: Defaults,
  wait: boolean,
  more: readonly string[] = [],
): AcquireOptions {
  refuseUnknown(options, [...ofHolds, ...more]);
  const { timeout = "30s" } = options;
  return {
    shares,
    wait,
    owner: defaults.owner,
    signal: options.signal,
    ttl: options.ttl === undefined ? defaults.ttl : toTtl(options.ttl),
    timeout: timeout === Number.POSITIVE_INFINITY ? timeout : toMilliseconds(timeout, "timeout"),
  };
}

export function toName(name: unknown, argument = "name"): string {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument(argument, name, "a text of 1 to 500 characters");
  return name;
}

function toTtl(ttl: Duration): number {
  return toMilliseconds(ttl, "ttl", { min: 100, max: 24 * 3600 * 1000 });
}
