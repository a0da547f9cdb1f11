import {
  type Duration,
  invalidArgument,
  refuseUnknown,
  type StandardSchema,
  toMilliseconds,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { ChangeOptions } from "./contract.ts";

export interface ConfigOptions<T, Input = T> {
  /** What values must satisfy: any Standard Schema (zod, valibot, arktype …). What is stored is the value as it was set; what is read is the schema's output. */
  readonly schema: StandardSchema<T, Input>;
  /** The value while nothing was set. Not merged into what is set: to fill in what is missing there is the schema's business. Default: none. */
  readonly defaults?: Input;
  /** How many earlier versions are kept. 0 to 10,000. Default 100. */
  readonly history?: number;
  /** Bytes of an encoded value at most; 1 to what two values of the engine's commits hold. Default 65,536. */
  readonly maxBytes?: number;
  /** How long the engine may be silent before the value counts as stale; it is asked three times as often. 100 ms to 1 day. Default "15s". */
  readonly staleAfter?: Duration;
}

export interface Settings {
  readonly history: number;
  readonly maxBytes: number;
  /** Milliseconds. */
  readonly staleAfter: number;
}

const optionNames = ["schema", "defaults", "history", "maxBytes", "staleAfter"];
const changeNames = ["author", "reason", "expectedVersion", "signal"];
/** What a record holds besides its value. */
const recordBytes = 16 * 1024;

export function toSettings(engine: Engine, options: ConfigOptions<unknown, unknown>): Settings {
  refuseUnknown(options, optionNames);
  const { schema, history = 100, maxBytes = 64 * 1024 } = options;
  if (typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema that follows Standard Schema (standardschema.dev)");
  if (!Number.isInteger(history) || history < 0 || history > 10_000)
    throw invalidArgument("history", history, "a whole number from 0 to 10,000");
  const { valueBytes, commitBytes } = engine.limits;
  // A commit carries the new value and moves the one before.
  const most = Math.min(valueBytes, Math.floor(commitBytes / 2)) - recordBytes;
  if (!Number.isInteger(maxBytes) || maxBytes < 1 || maxBytes > most)
    throw invalidArgument("maxBytes", maxBytes, `a whole number of bytes from 1 to ${most}`);
  const staleAfter = toMilliseconds(options.staleAfter ?? "15s", "staleAfter", { min: 100, max: 24 * 3600 * 1000 });
  return { history, maxBytes, staleAfter };
}

export function checkChange(options: ChangeOptions): void {
  refuseUnknown(options, changeNames);
  toText(options.author, "author", 200);
  toText(options.reason, "reason", 2000);
  const { expectedVersion } = options;
  if (expectedVersion !== undefined && (!Number.isSafeInteger(expectedVersion) || expectedVersion < 0))
    throw invalidArgument("expectedVersion", expectedVersion, "a version: a whole number, 0 or more");
}

export function toName(name: unknown): string {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  return name;
}

export function toVersion(version: unknown, name: string): number {
  if (typeof version === "number" && Number.isSafeInteger(version) && version >= 1) return version;
  throw invalidArgument(name, version, "a version: a whole number of at least 1");
}

export function toLimit(limit: unknown): number {
  if (typeof limit === "number" && Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return limit;
  throw invalidArgument("limit", limit, "a whole number from 1 to 10,000");
}

function toText(text: unknown, name: string, most: number): void {
  if (text !== undefined && (typeof text !== "string" || text.length === 0 || text.length > most))
    throw invalidArgument(name, text, `a text of 1 to ${most} characters`);
}
