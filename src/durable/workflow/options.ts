import { invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { RetryPolicy, StepOptions, WorkflowsOptions, WorkOptions } from "./contract.ts";
import { text } from "./definition.ts";

export interface Settings {
  readonly name: string;
  readonly shards: number;
  readonly parkAfter: number;
  readonly retention: number;
  readonly lease: number;
  readonly maxHistory: number;
}

export interface WorkSettings {
  readonly concurrency: number;
  readonly runs: number;
  readonly drain: number;
}

export interface Retry {
  readonly attempts: number;
  readonly base: number;
  readonly cap: number;
}

export interface StepSettings {
  readonly retry: Retry;
  readonly timeout: number;
}

const day = 24 * 3600 * 1000;

function whole(given: unknown, name: string, least: number, most: number): number {
  if (typeof given !== "number" || !Number.isInteger(given) || given < least || given > most)
    throw invalidArgument(name, given, `a whole number from ${least} to ${most}`);
  return given;
}

export function toSettings(options: WorkflowsOptions): Settings {
  refuseUnknown(options, ["name", "shards", "parkAfter", "retention", "lease", "maxHistory"]);
  const { name = "default" } = options;
  text(name, "name");
  return {
    name,
    shards: whole(options.shards ?? 32, "shards", 1, 4096),
    parkAfter: toMilliseconds(options.parkAfter ?? "10s", "parkAfter", { max: day }),
    retention: toMilliseconds(options.retention ?? "7d", "retention", { min: 1 }),
    lease: toMilliseconds(options.lease ?? "15s", "lease", { min: 100, max: day }),
    maxHistory: whole(options.maxHistory ?? 10_000, "maxHistory", 10, 100_000),
  };
}

export function toWorkSettings(options: WorkOptions): WorkSettings {
  refuseUnknown(options, ["concurrency", "runs", "drain", "signal"]);
  return {
    concurrency: whole(options.concurrency ?? 100, "concurrency", 1, 100_000),
    runs: whole(options.runs ?? 10_000, "runs", 1, 1_000_000),
    drain: toMilliseconds(options.drain ?? "30s", "drain", { max: 600_000 }),
  };
}

export function toRetry(policy: RetryPolicy, defaults: Retry, name: string): Retry {
  refuseUnknown(policy, ["attempts", "base", "cap"], name);
  return {
    attempts: policy.attempts === undefined ? defaults.attempts : whole(policy.attempts, `${name}.attempts`, 1, 1e6),
    base: policy.base === undefined ? defaults.base : toMilliseconds(policy.base, `${name}.base`, { max: day }),
    cap: policy.cap === undefined ? defaults.cap : toMilliseconds(policy.cap, `${name}.cap`, { max: day }),
  };
}

export const standardRetry: Retry = { attempts: 5, base: 1000, cap: 60_000 };
export const undoRetry: Retry = { attempts: 1000, base: 1000, cap: 60_000 };
const standard: StepSettings = { retry: standardRetry, timeout: 300_000 };

export function toStepSettings(options: StepOptions | undefined): StepSettings {
  if (options === undefined) return standard;
  refuseUnknown(options, ["retry", "timeout"]);
  return {
    retry: options.retry === undefined ? standardRetry : toRetry(options.retry, standardRetry, "retry"),
    timeout: options.timeout === undefined ? 300_000 : toMilliseconds(options.timeout, "timeout", { min: 1, max: day }),
  };
}
