import {
  createIds,
  type Duration,
  encodeValue,
  invalidArgument,
  limitExceeded,
  refuseUnknown,
  type StandardSchema,
  toMilliseconds,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { AppendOptions, ConsumeOptions, From, StreamOptions } from "./contract.ts";

const year = 366 * 24 * 3600 * 1000;
export const mostPartitions = 1024;
const maxHeaderBytes = 8 * 1024;

export interface StreamSettings<T> {
  readonly partitions: number;
  readonly schema: StandardSchema<T> | undefined;
  readonly retention: RetentionSettings;
  readonly compaction: CompactionSettings | undefined;
}

export interface CompactionSettings {
  /** Milliseconds. */
  readonly after: number;
  readonly tombstones: number;
}

export interface RetentionSettings {
  /** Milliseconds. */
  readonly time: number | undefined;
  readonly records: number | undefined;
  readonly bytes: number | undefined;
}

export function toStreamSettings<T>(options: StreamOptions<T>): StreamSettings<T> {
  refuseUnknown(options, ["partitions", "retention", "compaction", "schema"]);
  const { partitions = 8, retention = {}, schema } = options;
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema that follows Standard Schema (standardschema.dev)");
  const given = typeof retention === "object" ? retention : { time: retention };
  refuseUnknown(given, ["time", "records", "bytes"], "retention");
  const { time, records, bytes } = given as { time?: Duration; records?: number; bytes?: number };
  if (options.compaction && options.retention !== undefined)
    throw invalidArgument("retention", retention, "nothing together with compaction: one of the two");
  return {
    partitions: whole(partitions, "partitions", 1, mostPartitions),
    schema,
    compaction: toCompaction(options.compaction),
    retention: {
      time: time === undefined ? undefined : toMilliseconds(time, "retention.time", { max: 100 * year }),
      records: records === undefined ? undefined : whole(records, "retention.records", 0, Number.MAX_SAFE_INTEGER),
      bytes: bytes === undefined ? undefined : whole(bytes, "retention.bytes", 0, Number.MAX_SAFE_INTEGER),
    },
  };
}

function toCompaction(given: StreamOptions<unknown>["compaction"]): CompactionSettings | undefined {
  if (given === undefined || given === false) return undefined;
  const { after = "1h", tombstones = "1d" } = given === true ? {} : given;
  if (given !== true) refuseUnknown(given, ["after", "tombstones"], "compaction");
  return {
    after: toMilliseconds(after, "compaction.after", { max: 100 * year }),
    tombstones: toMilliseconds(tombstones, "compaction.tombstones", { max: 100 * year }),
  };
}

export function checkAppend(options: AppendOptions): void {
  refuseUnknown(options, ["tx", "key", "headers", "signal"]);
  checkRecord(options, "");
}

export function checkRecord({ key, headers }: Pick<AppendOptions, "key" | "headers">, path: string): void {
  if (key !== undefined) text(key, `${path}key`);
  if (headers === undefined) return;
  if (typeof headers !== "object" || headers === null || Array.isArray(headers))
    throw invalidArgument(`${path}headers`, headers, "an object of texts");
  for (const [name, value] of Object.entries(headers))
    if (typeof value !== "string") throw invalidArgument(`${path}headers.${name}`, value, "a text");
  const bytes = encodeValue(headers, `${path}headers`).length;
  if (bytes > maxHeaderBytes) throw limitExceeded(`${path}headers`, bytes, maxHeaderBytes, "bytes encoded");
}

export interface ConsumeSettings {
  readonly from: From;
  readonly batch: number;
  readonly attempts: number;
  readonly base: number;
  readonly cap: number;
  readonly onFailure: "stop" | "park";
  readonly instance: string;
  readonly lease: number;
  readonly drain: number;
  readonly signal: AbortSignal | undefined;
}

export function toConsumeSettings(engine: Engine, options: ConsumeOptions): ConsumeSettings {
  refuseUnknown(options, ["from", "batch", "retry", "onFailure", "instance", "lease", "drain", "signal"]);
  const { from = "start", batch = 500, retry = {}, onFailure = "stop", instance, signal } = options;
  assertFrom(from);
  refuseUnknown(retry, ["attempts", "base", "cap"], "retry");
  if (onFailure !== "stop" && onFailure !== "park") throw invalidArgument("onFailure", onFailure, '"stop" or "park"');
  const base = toMilliseconds(retry.base ?? "100ms", "retry.base", { max: year });
  const cap = toMilliseconds(retry.cap ?? "30s", "retry.cap", { max: year });
  if (cap < base) throw invalidArgument("retry.cap", retry.cap, `at least the base, ${base} ms`);
  return {
    from,
    batch: Math.min(whole(batch, "batch", 1, 10_000), engine.limits.listEntries * 10),
    attempts: whole(retry.attempts ?? 10, "retry.attempts", 1, 1_000_000),
    base,
    cap,
    onFailure,
    instance: instance === undefined ? createIds(engine.runtime).next() : text(instance, "instance"),
    lease: toMilliseconds(options.lease ?? "15s", "lease", { min: 1000, max: 3600 * 1000 }),
    drain: toMilliseconds(options.drain ?? "5s", "drain", { max: 600_000 }),
    signal,
  };
}

export function assertFrom(from: From): void {
  if (from === "start" || from === "end") return;
  if (typeof from === "object" && from !== null) {
    refuseUnknown(from, ["offset", "time"], "from");
    if ("offset" in from && Number.isSafeInteger(from.offset) && from.offset >= 0) return;
    if ("time" in from && Number.isFinite(Number(from.time))) return;
  }
  throw invalidArgument("from", from, '"start", "end", { offset } or { time }');
}

export function text(given: unknown, name: string): string {
  if (typeof given !== "string" || given.length === 0 || given.length > 200)
    throw invalidArgument(name, given, "a text of 1 to 200 characters");
  return given;
}

export function whole(given: unknown, name: string, min: number, max: number): number {
  if (!Number.isInteger(given) || (given as number) < min || (given as number) > max)
    throw invalidArgument(name, given, `a whole number from ${min} to ${max}`);
  return given as number;
}
