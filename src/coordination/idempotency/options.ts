import {
  type Duration,
  invalidArgument,
  refuseUnknown,
  type StandardSchema,
  toMilliseconds,
} from "../../core/index.ts";
import type { Engine, TransactOptions } from "../../engine/index.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { mayRunAgain, type StoredError, toError } from "./stored-error.ts";

/** What a caller does that finds its key in progress: wait for the answer, or be told so at once. */
export type OnInProgress = "wait" | "refuse";

export interface IdempotencyOptions {
  /**
   * How long results and final errors are kept, and thus how late a repetition of a request may come and still be known. 10 s to 10 years. Default "24h". Choose it longer
   * than any client, queue or webhook goes on repeating.
   */
  readonly retention?: Duration;
  /** Default "wait". */
  readonly onInProgress?: OnInProgress;
  /** How long to wait at most for the answer of a function that runs elsewhere; then the caller is refused with `IN_PROGRESS`. 0 or more. Default "30s". */
  readonly wait?: Duration;
  /**
   * Time to live of the lease under which functions run: how soon after the death of a process another may run its functions, and how long a pause or a cut in the connection
   * a run survives. 100 ms to 1 day. Default "15s". It is no limit on how long a function runs.
   */
  readonly ttl?: Duration;
  /**
   * Whether a function that failed with this error may be run again by the next caller. `false`: the error is recorded, and thrown to all callers. Default: `false` only for Ashlar errors which are definite
   * and not retryable and say something of the request.
   */
  readonly retryable?: (error: unknown, about: { readonly key: string; readonly attempt: number }) => boolean;
  /** Makes the error that is thrown again out of what is recorded, such as one of a class of your own. Default: the same class and code for Ashlar's and the language's errors, else an `Error` with the same name and properties. */
  readonly revive?: (error: StoredError) => unknown;
  /** Bytes of an encoded result at most. 1 to what the engine's values hold, less 16 KiB. Default 65,536. */
  readonly maxResultBytes?: number;
}

export interface CallOptions<T = unknown> {
  /** What the request is: a body, arguments, or whatever tells it from another. A later call with the same key and another fingerprint is refused. Default: nothing is compared. */
  readonly fingerprint?: unknown;
  /** Instead of the one given at the making. */
  readonly retention?: Duration;
  /** Instead of the one given at the making. */
  readonly onInProgress?: OnInProgress;
  /** Instead of the one given at the making. */
  readonly wait?: Duration;
  /** What results must satisfy, fresh ones and replayed ones: any Standard Schema (zod, valibot, arktype …). What is stored is the result before the schema, what is returned is the schema's output. */
  readonly schema?: StandardSchema<T>;
  /** Its abort ends a wait with its reason. A function that runs is told through its own `signal`, and then decides. */
  readonly signal?: AbortSignal;
}

export interface TransactCallOptions<T = unknown>
  extends CallOptions<T>,
    Pick<TransactOptions, "fence" | "deadline" | "attempts"> {}

/** What makes sense within a transaction that is someone else's. */
export type JoinOptions<T = unknown> = Pick<CallOptions<T>, "fingerprint" | "retention" | "schema">;

export interface Settings {
  readonly retention: number;
  readonly onInProgress: OnInProgress;
  readonly wait: number;
  readonly ttl: number;
  readonly retryable: NonNullable<IdempotencyOptions["retryable"]>;
  readonly revive: NonNullable<IdempotencyOptions["revive"]>;
  readonly maxResultBytes: number;
}

/** A call's options, checked. */
export interface Call {
  readonly key: string;
  readonly fingerprint: string | undefined;
  readonly retention: number;
  readonly onInProgress: OnInProgress;
  readonly wait: number;
  readonly schema: StandardSchema<unknown> | undefined;
  readonly signal: AbortSignal | undefined;
}

const settingNames = ["retention", "onInProgress", "wait", "ttl", "retryable", "revive", "maxResultBytes"];
const callNames = ["fingerprint", "retention", "onInProgress", "wait", "schema", "signal"];
const namesOf = {
  run: callNames,
  transact: [...callNames, "fence", "deadline", "attempts"],
  runIn: ["fingerprint", "retention", "schema"],
} as const;
const day = 24 * 3600 * 1000;
/** What a record holds besides its result. */
const recordBytes = 16 * 1024;

export function toSettings(engine: Engine, options: IdempotencyOptions): Settings {
  refuseUnknown(options, settingNames);
  const { retryable = mayRunAgain, revive = toError, maxResultBytes = 64 * 1024 } = options;
  for (const [name, value] of Object.entries({ retryable, revive }))
    if (typeof value !== "function") throw invalidArgument(name, value, "a function");
  const most = engine.limits.valueBytes - recordBytes;
  if (!Number.isInteger(maxResultBytes) || maxResultBytes < 1 || maxResultBytes > most)
    throw invalidArgument("maxResultBytes", maxResultBytes, `a whole number of bytes from 1 to ${most}`);
  return {
    retention: toRetention(options.retention ?? "24h"),
    onInProgress: toOnInProgress(options.onInProgress ?? "wait"),
    wait: toWait(options.wait ?? "30s"),
    ttl: toMilliseconds(options.ttl ?? "15s", "ttl", { min: 100, max: day }),
    retryable,
    revive,
    maxResultBytes,
  };
}

export function toCall(key: string, options: CallOptions, settings: Settings, form: keyof typeof namesOf): Call {
  refuseUnknown(options, namesOf[form]);
  const { retention, onInProgress, wait, schema, signal } = options;
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema that follows Standard Schema (standardschema.dev)");
  return {
    key: toKey(key),
    // Given as `undefined` it is compared too: a body that was forgotten must not turn the comparison off.
    fingerprint: "fingerprint" in options ? fingerprintOf(options.fingerprint) : undefined,
    retention: retention === undefined ? settings.retention : toRetention(retention),
    onInProgress: onInProgress === undefined ? settings.onInProgress : toOnInProgress(onInProgress),
    wait: wait === undefined ? settings.wait : toWait(wait),
    schema,
    signal,
  };
}

export function checkFunction(fn: unknown): void {
  if (typeof fn !== "function") throw invalidArgument("fn", fn, "a function");
}

export function toKey(key: unknown, name = "key"): string {
  if (typeof key !== "string" || key.length === 0 || key.length > 500)
    throw invalidArgument(name, key, "a text of 1 to 500 characters");
  return key;
}

/** Below ten seconds, a commit that is still under way could find its key forgotten. */
function toRetention(retention: Duration): number {
  return toMilliseconds(retention, "retention", { min: 10_000, max: 3650 * day });
}

function toWait(wait: Duration): number {
  return wait === Number.POSITIVE_INFINITY ? wait : toMilliseconds(wait, "wait");
}

function toOnInProgress(given: unknown): OnInProgress {
  if (given !== "wait" && given !== "refuse") throw invalidArgument("onInProgress", given, '"wait" or "refuse"');
  return given;
}
