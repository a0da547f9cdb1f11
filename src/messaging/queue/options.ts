import {
  type Duration,
  encodeValue,
  invalidArgument,
  limitExceeded,
  type Random,
  refuseUnknown,
  type StandardSchema,
  toMilliseconds,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { AddOptions, Headers, Job, QueueOptions, RetryOptions, Verdict, WorkOptions } from "./contract.ts";
import { defaultVerdict, toPause } from "./verdicts.ts";

export interface Settings {
  readonly schema: StandardSchema<unknown> | undefined;
  readonly attempts: number;
  /** Milliseconds before the next attempt. */
  readonly backoff: (attempt: number, error: unknown) => number;
  readonly deadLetter: boolean;
  readonly perKey: number;
  readonly concurrency: number | undefined;
  readonly rate: { readonly limit: number; readonly intervalUs: number } | undefined;
  readonly maxWaiting: number | undefined;
  readonly whenFull: "wait" | "refuse";
  /** Milliseconds. */
  readonly results: number | undefined;
  /** Milliseconds. */
  readonly lease: number;
  readonly classify: (error: unknown, job: Job<unknown>) => Verdict;
  /** Bytes of an encoded job at most. */
  readonly maxBytes: number;
}

const second = 1000;
const hour = 3600 * second;
const year = 366 * 24 * hour;
const queueNames = [
  "schema",
  "retry",
  "deadLetter",
  "perKey",
  "concurrency",
  "rateLimit",
  "maxWaiting",
  "whenFull",
  "results",
  "lease",
  "classify",
];

export function toSettings(engine: Engine, options: QueueOptions<never>): Settings {
  refuseUnknown(options, queueNames);
  const { schema, deadLetter = true, whenFull = "wait", classify = defaultVerdict, rateLimit } = options;
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema that follows Standard Schema (standardschema.dev)");
  if (typeof deadLetter !== "boolean") throw invalidArgument("deadLetter", deadLetter, "true or false");
  if (whenFull !== "wait" && whenFull !== "refuse") throw invalidArgument("whenFull", whenFull, '"wait" or "refuse"');
  if (typeof classify !== "function") throw invalidArgument("classify", classify, "a function");
  return {
    schema,
    ...toRetry(options.retry ?? {}, engine.runtime.random),
    deadLetter,
    perKey: whole(options.perKey ?? 1, "perKey", 1, 20),
    concurrency:
      options.concurrency === undefined ? undefined : whole(options.concurrency, "concurrency", 1, 1_000_000),
    rate: rateLimit === undefined ? undefined : toRate(rateLimit),
    maxWaiting:
      options.maxWaiting === undefined
        ? undefined
        : whole(options.maxWaiting, "maxWaiting", 1, Number.MAX_SAFE_INTEGER),
    whenFull,
    results:
      options.results === undefined
        ? undefined
        : toMilliseconds(options.results, "results", { min: second, max: 10 * year }),
    lease: toMilliseconds(options.lease ?? "15s", "lease", { min: second, max: hour }),
    classify: classify as Settings["classify"],
    // Room for what is stored with the data.
    maxBytes: engine.limits.valueBytes - jobOverhead,
  };
}

/** What a stored job holds besides data and headers: ids, keys, and a history of failures. */
const jobOverhead = 32 * 1024;
const maxHeaderBytes = 8 * 1024;

function toRetry(given: RetryOptions, random: Random): Pick<Settings, "attempts" | "backoff"> {
  refuseUnknown(given, ["attempts", "backoff"], "retry");
  const attempts = whole(given.attempts ?? 5, "retry.attempts", 1, 1000);
  const { backoff = {} } = given;
  if (typeof backoff === "function")
    return { attempts, backoff: (attempt, error) => toPause(backoff(attempt, error), "retry.backoff(…)") };
  refuseUnknown(backoff, ["base", "cap"], "retry.backoff");
  const base = toPause(backoff.base ?? "1s", "retry.backoff.base");
  const cap = toPause(backoff.cap ?? "1h", "retry.backoff.cap");
  if (cap < base) throw invalidArgument("retry.backoff.cap", backoff.cap, `at least the base, ${base} ms`);
  return {
    attempts,
    backoff: (attempt) => Math.min(cap, base * 2 ** (attempt - 1)) * (0.5 + random.next() / 2),
  };
}

function toRate(given: { readonly limit: number; readonly per: Duration }): NonNullable<Settings["rate"]> {
  refuseUnknown(given, ["limit", "per"], "rateLimit");
  const limit = whole(given.limit, "rateLimit.limit", 1, 1_000_000);
  const per = toMilliseconds(given.per, "rateLimit.per", { min: 1, max: 30 * 24 * hour });
  const intervalUs = Math.round((per * 1000) / limit);
  if (intervalUs < 1) throw invalidArgument("rateLimit", given, "at most one job in a microsecond");
  return { limit, intervalUs };
}

/** Options of an add, checked. */
export interface Order {
  readonly headers: Headers | undefined;
  readonly delay: number | undefined;
  readonly at: number | undefined;
  readonly priority: number;
  readonly key: string | undefined;
  readonly dedupe: { readonly key: string; readonly window: number | undefined } | undefined;
  readonly expires: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Whether the job may wait in the lane. */
  readonly plain: boolean;
}

const addNames = ["tx", "delay", "at", "priority", "key", "dedupe", "expires", "headers", "signal"];
const addManyNames = addNames.filter((name) => name !== "dedupe");
export const plainOrder: Order = {
  headers: undefined,
  delay: undefined,
  at: undefined,
  priority: 0,
  key: undefined,
  dedupe: undefined,
  expires: undefined,
  signal: undefined,
  plain: true,
};

export function toOrder(options: AddOptions, many = false): Order {
  refuseUnknown(options, many ? addManyNames : addNames);
  const { headers, delay, at, priority = 0, key, dedupe, expires, signal } = options;
  if (!Number.isInteger(priority) || Math.abs(priority) > 1_000_000)
    throw invalidArgument("priority", priority, "a whole number from -1,000,000 to 1,000,000");
  if (delay !== undefined && at !== undefined) throw invalidArgument("at", at, "either delay or at");
  const order = {
    headers: headers === undefined ? undefined : toHeaders(headers),
    delay: delay === undefined ? undefined : toMilliseconds(delay, "delay", { max: 100 * year }),
    at: at === undefined ? undefined : toInstant(at),
    // -0 would be another key than 0.
    priority: priority + 0,
    key: key === undefined ? undefined : shortText(key, "key"),
    dedupe: dedupe === undefined ? undefined : toDedupe(dedupe),
    expires: expires === undefined ? undefined : toMilliseconds(expires, "expires", { min: 1, max: 100 * year }),
    signal,
  };
  const plain =
    !order.delay &&
    order.at === undefined &&
    priority === 0 &&
    key === undefined &&
    !order.dedupe &&
    expires === undefined;
  return { ...order, plain };
}

function toDedupe(given: NonNullable<AddOptions["dedupe"]>): Order["dedupe"] {
  if (typeof given === "string") return { key: shortText(given, "dedupe"), window: undefined };
  refuseUnknown(given, ["key", "window"], "dedupe");
  return {
    key: shortText(given.key, "dedupe.key"),
    window:
      given.window === undefined
        ? undefined
        : toMilliseconds(given.window, "dedupe.window", { min: 1, max: 100 * year }),
  };
}

function toInstant(at: Date | number): number {
  const ms = at instanceof Date ? at.getTime() : at;
  if (typeof ms !== "number" || !(ms >= 0 && ms <= 8.64e15))
    throw invalidArgument("at", at, "a Date or milliseconds since the epoch");
  return Math.ceil(ms);
}

export function shortText(given: unknown, name: string): string {
  if (typeof given !== "string" || given.length === 0 || given.length > 200)
    throw invalidArgument(name, given, "a text of 1 to 200 characters");
  return given;
}

function toHeaders(given: Headers): Headers {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument("headers", given, "an object of texts");
  for (const [name, value] of Object.entries(given))
    if (typeof value !== "string") throw invalidArgument(`headers.${name}`, value, "a text");
  const bytes = encodeValue(given, "headers").length;
  if (bytes > maxHeaderBytes) throw limitExceeded("headers", bytes, maxHeaderBytes, "bytes encoded");
  return { ...given };
}

/** Whether new jobs may be claimed for a worker by whoever adds them: not where limits hold that only a worker's claims keep. */
export function mayBeHanded({ concurrency, rate, maxWaiting }: Settings): boolean {
  return concurrency === undefined && rate === undefined && maxWaiting === undefined;
}

/** @throws InvalidArgumentError LimitError the data cannot be stored */
export function sizeOf(data: unknown, settings: Settings, name = "data"): number {
  const bytes = encodeValue(data, name).length;
  if (bytes > settings.maxBytes) throw limitExceeded(name, bytes, settings.maxBytes, "bytes encoded");
  return bytes;
}

export interface WorkSettings {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly timeout: number | undefined;
  readonly drain: number;
  readonly signal: AbortSignal | undefined;
}

export function toWorkSettings(options: WorkOptions): WorkSettings {
  refuseUnknown(options, ["concurrency", "prefetch", "timeout", "drain", "signal"]);
  return {
    concurrency: whole(options.concurrency ?? 10, "concurrency", 1, 10_000),
    prefetch: whole(options.prefetch ?? 1000, "prefetch", 0, 10_000),
    timeout:
      options.timeout === undefined ? undefined : toMilliseconds(options.timeout, "timeout", { min: 1, max: year }),
    drain: toDrain(options.drain ?? "30s"),
    signal: options.signal,
  };
}

export function toDrain(given: Duration): number {
  return given === Number.POSITIVE_INFINITY ? given : toMilliseconds(given, "drain", { max: year });
}

export function whole(given: unknown, name: string, min: number, max: number): number {
  if (!Number.isInteger(given) || (given as number) < min || (given as number) > max)
    throw invalidArgument(name, given, `a whole number from ${min} to ${max}`);
  return given as number;
}
