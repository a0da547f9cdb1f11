import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { Health, InstanceChanges, InstanceFilter, InstanceOptions } from "./contract.ts";

export interface RegistryOptions {
  /** Time to live of registrations that name none: how soon after a death others drop the instance. 100 ms to 1 day. Default "15s". */
  readonly ttl?: Duration;
  /** How long a view may be without confirmation before it counts as stale; the engine is asked three times as often while there are views. 100 ms to 1 day. Default "15s". */
  readonly staleAfter?: Duration;
}

const longest = 24 * 3600 * 1000;
const healths: readonly Health[] = ["passing", "warning", "critical", "draining"];
const maxPairs = 64;
const maxMetadataBytes = 8 * 1024;

const described = ["address", "zone", "version", "weight", "metadata", "health"];
export const registerNames = [...described, "id", "ttl", "reregister", "signal"];
export const externalNames = [...described, "id", "ttl", "signal"];
export const changeNames = ["weight", "metadata", "health"];

export function toRegistrySettings(options: RegistryOptions): { readonly ttl: number; readonly staleAfter: number } {
  refuseUnknown(options, ["ttl", "staleAfter"]);
  const { ttl = "15s", staleAfter = "15s" } = options;
  return {
    ttl: toTtl(ttl),
    staleAfter: toMilliseconds(staleAfter, "staleAfter", { min: 100, max: longest }),
  };
}

export function toTtl(ttl: Duration, min = 100): number {
  return toMilliseconds(ttl, "ttl", { min, max: longest });
}

export function checkText(name: string, given: unknown, most = 200): void {
  if (typeof given !== "string" || given.length === 0 || given.length > most)
    throw invalidArgument(name, given, `a text of 1 to ${most} characters`);
}

export function checkInstance(options: InstanceOptions, names: readonly string[]): void {
  refuseUnknown(options, names);
  const { address, zone, version } = options;
  checkAddress(address);
  if (zone !== undefined) checkText("zone", zone);
  if (version !== undefined) checkText("version", version);
  checkValues(options);
}

export function checkChanges(changes: InstanceChanges): void {
  refuseUnknown(changes, changeNames, "changes");
  checkValues(changes);
}

export function checkFilter(filter: InstanceFilter): void {
  refuseUnknown(filter, ["zone", "version", "health", "metadata"], "filter");
  for (const name of ["zone", "version"] as const) {
    const given = filter[name];
    if (given !== undefined) for (const each of [given].flat()) checkText(`filter.${name}`, each);
  }
  if (filter.health !== undefined) for (const each of [filter.health].flat()) checkHealth("filter.health", each);
  if (filter.metadata !== undefined) checkMetadata(filter.metadata);
}

function checkValues({ weight, health, metadata }: InstanceChanges): void {
  if (weight !== undefined && !(typeof weight === "number" && weight >= 0 && weight <= 1e6))
    throw invalidArgument("weight", weight, "a number from 0 to 1,000,000");
  if (health !== undefined) checkHealth("health", health);
  if (metadata !== undefined) checkMetadata(metadata);
}

function checkHealth(name: string, given: unknown): void {
  if (!healths.includes(given as Health)) throw invalidArgument(name, given, healths.join(", "));
}

function checkAddress(address: unknown): void {
  if (typeof address === "string") {
    checkText("address", address, 500);
    return;
  }
  const { host, port, ...rest } = (address ?? {}) as { host?: unknown; port?: unknown };
  const wellFormed =
    typeof host === "string" &&
    host.length > 0 &&
    host.length <= 255 &&
    Number.isInteger(port) &&
    (port as number) >= 1 &&
    (port as number) <= 65_535 &&
    Object.keys(rest).length === 0;
  if (!wellFormed)
    throw invalidArgument(
      "address",
      address,
      "a text of 1 to 500 characters, or { host, port } with a port of 1 to 65535",
    );
}

function checkMetadata(metadata: unknown): void {
  const allowed = `at most ${maxPairs} pairs of texts, ${maxMetadataBytes} bytes as JSON together`;
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    throw invalidArgument("metadata", metadata, allowed);
  const pairs = Object.entries(metadata);
  for (const [key, value] of pairs)
    if (typeof value !== "string") throw invalidArgument(`metadata.${key}`, value, "a text");
  const bytes = Buffer.byteLength(JSON.stringify(metadata));
  if (pairs.length > maxPairs || bytes > maxMetadataBytes)
    throw invalidArgument("metadata", `${pairs.length} pairs, ${bytes} bytes`, allowed);
}
