import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { OnRevoke } from "./ownership.ts";

export interface ShardMapOptions {
  /** How many shards there are: 1 to 4096. Cannot be changed later: several times the number of workers that there will ever be. Default 64. */
  readonly shards?: number;
  /**
   * Time to live of the leases of the workers: how soon after a death its shards go to others, and how long a pause or a cut in the connection a worker survives. 100 ms to
   * 1 day. Default "15s".
   */
  readonly ttl?: Duration;
  /** How long changes are gathered before shards are distributed anew, so that workers that start together cause one round. 0 to 1 minute. Default "100ms". */
  readonly settle?: Duration;
}

export interface JoinOptions {
  /** Who joins, for those who route to it: an address, or the name of a node. 1 to 200 characters. */
  readonly worker: string;
  /** Its part of the shards in proportion to those of the others. 0 (none, it only helps to distribute) to 1,000,000. Default 1. */
  readonly weight?: number;
  /** Where it is, for those who route to it; without influence on the distribution. 1 to 200 characters. */
  readonly zone?: string;
  /**
   * Called when a shard is to go to another worker, and on leaving. The shard is owned until it ends, or the time of grace is over. Should it throw, the shard is handed over all the
   * same, and the error goes to the channel `ashlar:shard-map:revoke-failed`.
   */
  readonly onRevoke?: OnRevoke;
  /** How long `onRevoke` may take. 0 to 10 minutes. Default "5s". */
  readonly grace?: Duration;
  /** Its abort ends the joining with its reason. */
  readonly signal?: AbortSignal;
}

export interface MapSettings {
  readonly shards: number;
  readonly ttl: number;
  readonly settle: number;
}

export interface MemberSettings {
  readonly worker: string;
  readonly weight: number;
  readonly zone: string | undefined;
  readonly onRevoke: OnRevoke | undefined;
  readonly grace: number;
}

const mapNames: readonly string[] = ["shards", "ttl", "settle"];
const joinNames: readonly string[] = ["worker", "weight", "zone", "onRevoke", "grace", "signal"];

export function toMapSettings(options: ShardMapOptions): MapSettings {
  refuseUnknown(options, mapNames);
  const { shards = 64 } = options;
  if (!Number.isInteger(shards) || shards < 1 || shards > 4096)
    throw invalidArgument("shards", shards, "a whole number from 1 to 4096");
  return {
    shards,
    ttl: toMilliseconds(options.ttl ?? "15s", "ttl", { min: 100, max: 24 * 3600 * 1000 }),
    settle: toMilliseconds(options.settle ?? "100ms", "settle", { max: 60_000 }),
  };
}

export function toMemberSettings(options: JoinOptions): MemberSettings {
  refuseUnknown(options, joinNames);
  const { worker, weight = 1, zone, onRevoke } = options;
  if (!isShortText(worker)) throw invalidArgument("worker", worker, "a text of 1 to 200 characters");
  if (zone !== undefined && !isShortText(zone)) throw invalidArgument("zone", zone, "a text of 1 to 200 characters");
  if (typeof weight !== "number" || !(weight >= 0 && weight <= 1_000_000))
    throw invalidArgument("weight", weight, "a number from 0 to 1,000,000");
  if (onRevoke !== undefined && typeof onRevoke !== "function")
    throw invalidArgument("onRevoke", onRevoke, "a function");
  const grace = toMilliseconds(options.grace ?? "5s", "grace", { max: 600_000 });
  return { worker, weight, zone, onRevoke, grace };
}

export function toShard(shard: unknown, shards: number): number {
  if (typeof shard !== "number" || !Number.isInteger(shard) || shard < 0 || shard >= shards)
    throw invalidArgument("shard", shard, `a whole number from 0 to ${shards - 1}`);
  return shard;
}

function isShortText(given: unknown): given is string {
  return typeof given === "string" && given.length > 0 && given.length <= 200;
}
