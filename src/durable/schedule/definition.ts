import { invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { Exception, Overlap, ScheduleOptions } from "./contract.ts";
import { assertPattern } from "./cron.ts";

/** When a schedule ticks and what becomes of a tick, as the store has it: whoever ticks goes by it. Times in milliseconds. */
export interface Definition {
  readonly timing: { readonly cron: string } | { readonly every: number; readonly start: number };
  readonly timeZone: string;
  /** Days, first and last. */
  readonly except: readonly (readonly [from: string, to: string])[];
  readonly from?: number;
  readonly until?: number;
  readonly jitter: number;
  /** `Infinity` is stored as it is. */
  readonly catchUp: number;
  readonly overlap: Overlap;
  readonly maxQueued: number;
}

export interface RunSettings {
  readonly concurrency: number;
  readonly attempts: number;
  readonly base: number;
  readonly cap: number;
  readonly timeout: number | undefined;
  readonly retention: number;
  readonly lease: number;
  readonly drain: number;
}

const day = 24 * 3600 * 1000;
const overlaps: readonly Overlap[] = ["queue", "skip", "cancel", "allow"];
const shortestEvery = 100;
const mostExceptions = 1000;

const known = [
  "cron",
  "every",
  "start",
  "timeZone",
  "except",
  "from",
  "until",
  "jitter",
  "catchUp",
  "overlap",
  "maxQueued",
  "concurrency",
  "retry",
  "timeout",
  "retention",
  "lease",
  "drain",
  "signal",
];

/** @throws InvalidArgumentError */
export function toDefinition(options: ScheduleOptions): Definition {
  refuseUnknown(options, known);
  const { timeZone = "UTC", except = [], jitter = 0, catchUp = "1m", overlap = "queue", maxQueued = 1000 } = options;
  assertTimeZone(timeZone);
  if (!overlaps.includes(overlap)) throw invalidArgument("overlap", overlap, overlaps.join(", "));
  if (!Array.isArray(except) || except.length > mostExceptions)
    throw invalidArgument("except", except, `an array of at most ${mostExceptions} days`);
  const from = instant(options.from, "from");
  const until = instant(options.until, "until");
  return {
    timing: toTiming(options, timeZone),
    timeZone,
    except: except.map(toDays),
    ...(from !== undefined && { from }),
    ...(until !== undefined && { until }),
    jitter: toMilliseconds(jitter, "jitter", { max: day }),
    catchUp: catchUp === Number.POSITIVE_INFINITY ? catchUp : toMilliseconds(catchUp, "catchUp", { min: 1000 }),
    overlap,
    maxQueued: whole(maxQueued, "maxQueued", 1, 100_000),
  };
}

function toTiming(options: ScheduleOptions, timeZone: string): Definition["timing"] {
  if ("cron" in options && options.cron !== undefined) {
    for (const other of ["every", "start"] as const)
      if (other in options) throw invalidArgument(other, Reflect.get(options, other), "nothing besides cron");
    assertPattern(options.cron, timeZone);
    return { cron: options.cron };
  }
  if (!("every" in options)) throw invalidArgument("cron", undefined, "a pattern, or else every");
  const every = toMilliseconds(options.every, "every", { min: shortestEvery });
  return { every, start: instant(options.start, "start") ?? 0 };
}

/** @throws InvalidArgumentError */
export function toRunSettings(options: ScheduleOptions): RunSettings {
  const { retry = {}, timeout } = options;
  refuseUnknown(retry, ["attempts", "base", "cap"], "retry");
  return {
    concurrency: whole(options.concurrency ?? 10, "concurrency", 1, 10_000),
    attempts: whole(retry.attempts ?? 3, "retry.attempts", 1, 1000),
    base: toMilliseconds(retry.base ?? "1s", "retry.base", { max: day }),
    cap: toMilliseconds(retry.cap ?? "1m", "retry.cap", { max: day }),
    timeout: timeout === undefined ? undefined : toMilliseconds(timeout, "timeout", { min: 1 }),
    retention: toMilliseconds(options.retention ?? "7d", "retention", { min: 1000 }),
    lease: toMilliseconds(options.lease ?? "15s", "lease", { min: 1000, max: 3_600_000 }),
    drain: toMilliseconds(options.drain ?? "30s", "drain", { max: day }),
  };
}

/** @throws InvalidArgumentError */
export function instant(given: Date | number | undefined, name: string): number | undefined {
  if (given === undefined) return undefined;
  const ms = given instanceof Date || typeof given === "number" ? Number(given) : Number.NaN;
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15)
    throw invalidArgument(name, given, "a date, or milliseconds since the epoch");
  return Math.round(ms);
}

function toDays(given: Exception, i: number): readonly [string, string] {
  const name = `except[${i}]`;
  if (typeof given === "string") return [dayOf(given, name), given];
  refuseUnknown(given, ["from", "to"], name);
  const [from, to] = [dayOf(given.from, `${name}.from`), dayOf(given.to, `${name}.to`)];
  if (to < from) throw invalidArgument(`${name}.to`, to, `a day not before ${from}`);
  return [from, to];
}

function dayOf(given: unknown, name: string): string {
  const isDay = typeof given === "string" && /^\d{4}-\d{2}-\d{2}$/.test(given);
  const time = isDay ? Date.parse(`${given}T00:00:00Z`) : Number.NaN;
  // The 31st of June would be taken for the 1st of July.
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== given)
    throw invalidArgument(name, given, 'a day such as "2026-12-25"');
  return given as string;
}

function assertTimeZone(given: unknown): asserts given is string {
  try {
    if (typeof given !== "string") throw new RangeError();
    new Intl.DateTimeFormat("en", { timeZone: given });
  } catch {
    throw invalidArgument("timeZone", given, 'a name of the IANA data base, such as "Europe/Berlin"');
  }
}

export function whole(given: unknown, name: string, least: number, most: number): number {
  if (typeof given !== "number" || !Number.isInteger(given) || given < least || given > most)
    throw invalidArgument(name, given, `a whole number from ${least} to ${most}`);
  return given;
}

/** The ordering key of runs: they go one after another, unless they may go side by side. */
export function keyOf({ overlap }: Definition): string | undefined {
  return overlap === "allow" ? undefined : "run";
}
