import {
  type Duration,
  encodeValue,
  invalidArgument,
  limitExceeded,
  refuseUnknown,
  type StandardSchema,
  toMilliseconds,
} from "../../core/index.ts";
import type { DomainEvent, EventStoreOptions, ExpectedVersion, Metadata, ProjectionOptions } from "./contract.ts";

const maxMetadataBytes = 8 * 1024;
const maxId = 200;
const longest = 365 * 24 * 3600 * 1000;

export type Upcaster = (event: never) => DomainEvent;

/** The options of a store, checked. */
export interface Settings<S, E extends DomainEvent, C> {
  readonly initial: (() => S) | undefined;
  readonly evolve: ((state: S, event: E) => S) | undefined;
  readonly decide: ((command: C, state: S) => E | readonly E[]) | undefined;
  readonly schema: StandardSchema<E> | undefined;
  readonly snapshots: { readonly every: number; readonly version: number } | undefined;
  readonly upcasters: ReadonlyMap<string, readonly Upcaster[]>;
  readonly remembered: number;
}

export function toSettings<S, E extends DomainEvent, C>(options: EventStoreOptions<S, E, C>): Settings<S, E, C> {
  refuseUnknown(options, ["initial", "evolve", "decide", "schema", "snapshots", "upcasters", "remembered"]);
  const { initial, evolve, decide, schema, snapshots } = options;
  for (const [name, fn] of Object.entries({ initial, evolve, decide }))
    if (fn !== undefined && typeof fn !== "function") throw invalidArgument(name, fn, "a function");
  if ((initial === undefined) !== (evolve === undefined))
    throw invalidArgument(initial ? "evolve" : "initial", undefined, "initial and evolve together, or neither");
  if (decide && !evolve) throw invalidArgument("decide", decide, "only together with initial and evolve");
  if (snapshots && !evolve) throw invalidArgument("snapshots", snapshots, "only together with initial and evolve");
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema of a library that follows Standard Schema");
  return {
    initial,
    evolve,
    decide,
    schema,
    snapshots: snapshots && toSnapshots(snapshots),
    upcasters: toUpcasters(options.upcasters ?? {}),
    remembered: whole(options.remembered ?? 10_000, "remembered", 0, 1_000_000),
  };
}

function toSnapshots(given: NonNullable<EventStoreOptions<never, never, never>["snapshots"]>): {
  readonly every: number;
  readonly version: number;
} {
  refuseUnknown(given, ["every", "version"], "snapshots");
  return {
    every: whole(given.every, "snapshots.every", 1, 1_000_000),
    version: whole(given.version ?? 1, "snapshots.version", 0, Number.MAX_SAFE_INTEGER),
  };
}

function toUpcasters(given: object): ReadonlyMap<string, readonly Upcaster[]> {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument("upcasters", given, "an object of arrays of functions by type of event");
  const map = new Map<string, readonly Upcaster[]>();
  for (const [type, functions] of Object.entries(given)) {
    if (!Array.isArray(functions) || functions.some((each) => typeof each !== "function"))
      throw invalidArgument(`upcasters.${type}`, functions, "an array of functions");
    map.set(type, [...functions]);
  }
  return map;
}

export function toStream(given: unknown): string {
  if (typeof given !== "string" || given.length === 0 || given.length > 300)
    throw invalidArgument("stream", given, "a text of 1 to 300 characters");
  return given;
}

export function toName(given: unknown): string {
  if (typeof given !== "string" || given.length === 0 || given.length > 200)
    throw invalidArgument("name", given, "a text of 1 to 200 characters");
  return given;
}

/** A number that is expected: "none" is 0. */
export function toExpected(given: ExpectedVersion | undefined): number | "any" | "exists" {
  if (given === undefined || given === "any" || given === "exists") return given ?? "any";
  if (given === "none") return 0;
  if (!Number.isSafeInteger(given) || given < 0)
    throw invalidArgument("expected", given, 'a version (a whole number of at least 0), "none", "any" or "exists"');
  return given;
}

export function toIds(given: readonly string[], events: number): readonly string[] {
  if (!Array.isArray(given) || given.length !== events)
    throw invalidArgument("ids", given, `an array of ${events} texts, one for each event`);
  for (const [i, id] of given.entries())
    if (typeof id !== "string" || id.length === 0 || id.length > maxId)
      throw invalidArgument(`ids[${i}]`, id, `a text of 1 to ${maxId} characters`);
  if (new Set(given).size !== given.length) throw invalidArgument("ids", given, "ids that differ from each other");
  return [...given];
}

export function toMetadata(given: Metadata | undefined): Metadata | null {
  if (given === undefined) return null;
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument("metadata", given, "an object");
  for (const name of ["correlation", "causation"] as const)
    if (given[name] !== undefined && typeof given[name] !== "string")
      throw invalidArgument(`metadata.${name}`, given[name], "a text");
  const { length } = encodeValue(given, "metadata");
  if (length > maxMetadataBytes) throw limitExceeded("metadata", length, maxMetadataBytes, "bytes encoded");
  return Object.keys(given).length === 0 ? null : given;
}

export function toVersion(given: unknown, name: string): number {
  return whole(given, name, 1, Number.MAX_SAFE_INTEGER);
}

export function toCount(given: number | undefined, name: string): number {
  return given === undefined ? Number.POSITIVE_INFINITY : whole(given, name, 1, Number.MAX_SAFE_INTEGER);
}

export interface ProjectionSettings {
  readonly from: number;
  readonly batch: number;
  readonly version: number | undefined;
  readonly types: ReadonlySet<string> | undefined;
  readonly attempts: number;
  readonly backoff: { readonly base: number; readonly cap: number };
  readonly lease: number;
  readonly drain: number;
  readonly signal: AbortSignal | undefined;
}

export function toProjectionSettings(options: ProjectionOptions): ProjectionSettings {
  const names = ["from", "batch", "version", "types", "attempts", "backoff", "lease", "drain", "signal"];
  refuseUnknown(options, names);
  const { backoff = {}, version } = options;
  refuseUnknown(backoff, ["base", "cap"], "backoff");
  return {
    from: whole(options.from ?? 0, "from", 0, Number.MAX_SAFE_INTEGER),
    batch: whole(options.batch ?? 200, "batch", 1, 10_000),
    version: version === undefined ? undefined : whole(version, "version", 1, Number.MAX_SAFE_INTEGER),
    types: toTypes(options.types),
    attempts: options.attempts === undefined ? Number.POSITIVE_INFINITY : whole(options.attempts, "attempts", 1, 1e9),
    backoff: {
      base: toMilliseconds(backoff.base ?? "100ms", "backoff.base", { min: 1, max: longest }),
      cap: toMilliseconds(backoff.cap ?? "30s", "backoff.cap", { min: 1, max: longest }),
    },
    lease: toMilliseconds(options.lease ?? "15s", "lease", { min: 100, max: 24 * 3600 * 1000 }),
    drain: toDrain(options.drain ?? "30s"),
    signal: options.signal,
  };
}

export function toTypes(given: readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given) || given.length === 0 || given.some((type) => typeof type !== "string" || type === ""))
    throw invalidArgument("types", given, "an array of at least one type of event");
  return new Set(given);
}

function toDrain(given: Duration): number {
  return toMilliseconds(given, "drain", { max: longest });
}

export function whole(given: unknown, name: string, min: number, max: number): number {
  if (!Number.isSafeInteger(given) || (given as number) < min || (given as number) > max)
    throw invalidArgument(name, given, `a whole number from ${min} to ${max}`);
  return given as number;
}
