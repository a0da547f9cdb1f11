import type { Instance, InstanceFilter } from "./contract.ts";

/** The filter as a function; it is read once. */
export function toPredicate(filter: InstanceFilter = {}): (instance: Instance) => boolean {
  const { zone, version, health, metadata } = filter;
  const zones = zone === undefined ? undefined : new Set([zone].flat());
  const versions = version === undefined ? undefined : new Set([version].flat());
  const healths = health === undefined ? undefined : new Set([health].flat());
  const pairs = Object.entries(metadata ?? {});
  return (instance) =>
    (!zones || (instance.zone !== undefined && zones.has(instance.zone))) &&
    (!versions || (instance.version !== undefined && versions.has(instance.version))) &&
    (!healths || healths.has(instance.health)) &&
    pairs.every(([key, value]) => Object.hasOwn(instance.metadata, key) && instance.metadata[key] === value);
}
