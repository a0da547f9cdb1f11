import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";

export interface QuorumLockOptions {
  /**
   * Time to live of each engine's vote: how soon after the death of a holder others may have the lock, and how long a pause or a cut a holder survives. 100 ms to
   * 1 day. Default "10s". Renewed by itself while the process lives.
   */
  readonly ttl?: Duration;
  /** Who this process is, for people who look. 1 to 200 characters. Default: a random id. */
  readonly owner?: string;
  /**
   * How long one engine may take to answer before it counts as not having granted. Small against the ttl, so that engines that hang cannot use the validity up: at most a
   * quarter of it. Default: a twentieth of the ttl, at most "1s".
   */
  readonly engineTimeout?: Duration;
  /**
   * By how much the clocks of this process and of the engines may differ in rate, as a part of the ttl: 0 to 0.2. Default 0.02. Two milliseconds are added for expiry in
   * whole milliseconds. The validity is shorter by that.
   */
  readonly drift?: number;
  /** The longest pause before another attempt; pauses are random, from a tenth of it on growing. 1 ms to 1 minute. Default "200ms". */
  readonly retryDelay?: Duration;
}

export interface QuorumHoldOptions {
  /** How long to wait at most; 0 or more, `Infinity` for as long as it takes. Default "30s". */
  readonly timeout?: Duration;
  /** Its abort ends the wait with its reason; nothing is held then. It does not concern what is held already. */
  readonly signal?: AbortSignal;
}

export interface QuorumSettings {
  readonly ttl: number;
  readonly owner: string | undefined;
  readonly engineTimeout: number;
  /** Milliseconds that the validity is shorter than the ttl. */
  readonly drift: number;
  readonly retryDelay: number;
}

const names: readonly string[] = ["ttl", "owner", "engineTimeout", "drift", "retryDelay"];
const maxEngines = 9;

export function toEngines(given: readonly Engine[]): readonly [Engine, ...Engine[]] {
  const [first, ...rest] = Array.isArray(given) ? (given as readonly Engine[]) : [];
  if (!first || rest.length >= maxEngines || [first, ...rest].some((engine) => typeof engine?.transact !== "function"))
    throw invalidArgument(
      "engines",
      given,
      `an array of 1 to ${maxEngines} engines, of stores that fail independently`,
    );
  if (new Set([first, ...rest]).size <= rest.length)
    throw invalidArgument("engines", given, "engines that are all different: one that votes twice is no majority");
  return [first, ...rest];
}

export function toSettings(options: QuorumLockOptions): QuorumSettings {
  refuseUnknown(options, names);
  const { owner, drift = 0.02 } = options;
  const ttl = toMilliseconds(options.ttl ?? "10s", "ttl", { min: 100, max: 24 * 3600 * 1000 });
  const engineTimeout = toMilliseconds(options.engineTimeout ?? Math.min(1000, ttl / 20), "engineTimeout", {
    min: 1,
    max: ttl / 4,
  });
  const retryDelay = toMilliseconds(options.retryDelay ?? "200ms", "retryDelay", { min: 1, max: 60_000 });
  if (owner !== undefined && (typeof owner !== "string" || owner.length === 0 || owner.length > 200))
    throw invalidArgument("owner", owner, "a text of 1 to 200 characters");
  if (typeof drift !== "number" || !(drift >= 0 && drift <= 0.2))
    throw invalidArgument("drift", drift, "a number from 0 to 0.2, the part of the ttl by which clocks may differ");
  return { ttl, owner, engineTimeout, drift: ttl * drift + 2, retryDelay };
}

export function toName(name: unknown): string {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  return name;
}

export function toTimeout({ timeout = "30s" }: QuorumHoldOptions): number {
  return timeout === Number.POSITIVE_INFINITY ? timeout : toMilliseconds(timeout, "timeout");
}
