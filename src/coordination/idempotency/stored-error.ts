import { AshlarError, encodeValue, errorCodes, isAshlarError } from "../../core/index.ts";

/** An error as it stands in a record. */
export interface StoredError {
  /** Such as "TypeError". */
  readonly name: string;
  readonly message: string;
  /** What was thrown was no error; `name` is what `typeof` said of it. */
  readonly bare?: true;
  /** Only of Ashlar errors. */
  readonly traits?: { readonly code: string; readonly definite: boolean; readonly retryable: boolean };
  /** Of an Ashlar error its details; of another its own enumerable properties; what was thrown, if it was no error. Absent if it cannot be stored or is large. */
  readonly properties?: unknown;
}

const longestMessage = 2_000;
const largestProperties = 8 * 1024;

export function toStoredError(error: unknown): StoredError {
  if (isAshlarError(error)) {
    const { name, message, code, definite, retryable, details } = error;
    return stored(name, message, details, { traits: { code, definite, retryable } });
  }
  if (error instanceof Error) {
    const { name: _name, message: _message, stack: _stack, cause: _cause, ...own } = error as Error & object;
    return stored(error.name, error.message, own);
  }
  return stored(typeof error, String(error), error, { bare: true });
}

function stored(name: string, message: string, properties: unknown, more: Partial<StoredError> = {}): StoredError {
  const short = { name: name.slice(0, 200).toWellFormed(), message: message.slice(0, longestMessage).toWellFormed() };
  return { ...short, ...more, ...(fits(properties) && { properties }) };
}

/** Getters and what else an error carries must not keep it from being recorded. */
function fits(properties: unknown): boolean {
  try {
    return encodeValue(properties).length <= largestProperties;
  } catch {
    return false;
  }
}

const builtIn: Readonly<Record<string, new (message: string) => Error>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/**
 * The error again: an Ashlar error as its class with its code, an error of the language as its class, any other as an `Error` with the same name, message and properties, and what was no error as it was.
 */
export function toError({ name, message, bare, traits, properties }: StoredError): unknown {
  if (bare) return name === "undefined" ? undefined : (properties ?? (message === "null" ? null : message));
  if (traits) return toAshlarError(name, message, traits, properties);
  const Class = Object.hasOwn(builtIn, name) ? builtIn[name] : undefined;
  const error = Class ? new Class(message) : new Error(message);
  if (!Class && name !== "Error") {
    Object.defineProperty(error, "name", { value: name, writable: true, configurable: true });
  }
  return Object.assign(error, properties);
}

function toAshlarError(
  name: string,
  message: string,
  traits: NonNullable<StoredError["traits"]>,
  properties: unknown,
): AshlarError {
  const options = properties === undefined ? {} : { details: properties as Readonly<Record<string, unknown>> };
  const row = errorCodes.find(({ code }) => code === traits.code);
  const known = row && new row.class(message, options);
  if (known && known.definite === traits.definite && known.retryable === traits.retryable) return known;
  const error = new AshlarError(message, { ...traits, ...options });
  if (name !== error.name) Object.defineProperty(error, "name", { value: name, writable: true, configurable: true });
  return error;
}

/** Codes that tell of the process or the moment, not of the request: what they refused, another attempt may do. */
const passing: ReadonlySet<string> = new Set(["CLOSED", "LEASE_LOST", "INVALID_STATE", "CORRUPTION"]);

/**
 * The default of `retryable`: an error is final only if it says so, that is, if it is an Ashlar error that is definite and not retryable and no matter of the process (closed,
 * lease lost). Of all others nobody knows; to run again with the same token does less harm than to keep the caller from an answer, who would come back with another key.
 */
export function mayRunAgain(error: unknown): boolean {
  return !isAshlarError(error) || !error.definite || error.retryable || passing.has(error.code);
}
