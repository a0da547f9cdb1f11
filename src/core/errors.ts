import { renderValue } from "./render.ts";

const brand = Symbol.for("ashlar.error");

/** What every error may carry besides its message. */
export interface ErrorOptions {
  /** What was underneath. */
  readonly cause?: unknown;
  /** Fields that a handler needs, by name. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** How an error of a given code behaves. */
export interface ErrorTraits {
  /** Stable upper-case word. */
  readonly code: string;
  /** `true`: what was asked did not happen and will not. `false`: it may have happened. */
  readonly definite: boolean;
  /** Whether asking again, unchanged, may succeed and cannot do harm. */
  readonly retryable: boolean;
}

/**
 * The base of all errors that Ashlar makes. Codes are stable, messages may improve. Recognise by `isAshlarError`
 * rather than by `instanceof`, which fails between two copies of the package.
 */
export class AshlarError extends Error {
  /** Stable upper-case word, such as "CONFLICT". */
  readonly code: string;
  /** `true`: what was asked did not happen and will not. `false`: it may have happened. */
  readonly definite: boolean;
  /** Whether asking again, unchanged, may succeed and cannot do harm. */
  readonly retryable: boolean;
  /** Fields that a handler needs, by name. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, options: ErrorTraits & ErrorOptions) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = options.code;
    this.definite = options.definite;
    this.retryable = options.retryable;
    this.details = options.details ?? {};
  }

  get [brand](): true {
    return true;
  }
}

/** Whether `error` is an Ashlar error (of this code, if given), whichever copy of the package made it. */
export function isAshlarError(error: unknown, code?: string): error is AshlarError {
  if (typeof error !== "object" || error === null) return false;
  const candidate = error as { readonly [brand]?: unknown; readonly code?: unknown };
  return candidate[brand] === true && (code === undefined || candidate.code === code);
}

/** Something that the commit relied on has changed: read again and decide anew. */
export class ConflictError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "CONFLICT", definite: true, retryable: true });
  }
}

/** The engine could not be reached or refused work; surely nothing was applied. */
export class UnavailableError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "UNAVAILABLE", definite: true, retryable: true });
  }
}

/** The answer was lost: what was asked may have been applied, or may yet be. */
export class OutcomeUnknownError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "OUTCOME_UNKNOWN", definite: false, retryable: false });
  }
}

/** The time allowed has passed. Definite unless its maker says otherwise. */
export class TimeoutError extends AshlarError {
  constructor(message: string, options?: ErrorOptions & { readonly definite?: boolean }) {
    super(message, { ...options, code: "TIMEOUT", definite: options?.definite ?? true, retryable: true });
  }
}

/** A mistake in the calling program: an argument of the wrong type or outside its range. */
export class InvalidArgumentError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "INVALID_ARGUMENT", definite: true, retryable: false });
  }
}

/** A size or a count is over its bound. `details` is `{ name, given, limit }` if made by `limitExceeded`. */
export class LimitError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "LIMIT", definite: true, retryable: false });
  }
}

/** Bytes that were read do not make sense or do not match their checksum. */
export class CorruptionError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "CORRUPTION", definite: true, retryable: false });
  }
}

/** What was used had been closed. */
export class ClosedError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "CLOSED", definite: true, retryable: false });
  }
}

/** The engine, or this version of it, cannot do this. */
export class UnsupportedError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "UNSUPPORTED", definite: true, retryable: false });
  }
}

/** A bounded queue is full: the work was refused before it began. */
export class OverloadedError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "OVERLOADED", definite: true, retryable: true });
  }
}

/** Used at the wrong moment: a transaction after its end, a result before it exists. */
export class InvalidStateError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "INVALID_STATE", definite: true, retryable: false });
  }
}

/** What was held under a lease is no longer held: the lease ran out, or was taken away. Nothing asked under it happens any more. */
export class LeaseLostError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "LEASE_LOST", definite: true, retryable: false });
  }
}

/** A circuit breaker is open: the call was refused before it began. `details.retryAfterMs` says when it will let one through. */
export class CircuitOpenError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "CIRCUIT_OPEN", definite: true, retryable: true });
  }
}

/** A rate limit is used up: refused before it began. `details.retryAfterMs` says when to come back. */
export class RateLimitedError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "RATE_LIMITED", definite: true, retryable: true });
  }
}

/** The same work, by its idempotency key, is being done elsewhere at this moment. */
export class InProgressError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "IN_PROGRESS", definite: true, retryable: true });
  }
}

/** An idempotency key was used before for another request. */
export class FingerprintMismatchError extends AshlarError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: "FINGERPRINT_MISMATCH", definite: true, retryable: false });
  }
}

// On the prototypes, where stack traces find it when an error is made; spelled out, because minifiers rename classes.
for (const [name, type] of Object.entries({
  AshlarError,
  ConflictError,
  UnavailableError,
  OutcomeUnknownError,
  TimeoutError,
  InvalidArgumentError,
  LimitError,
  CorruptionError,
  ClosedError,
  UnsupportedError,
  OverloadedError,
  InvalidStateError,
  LeaseLostError,
  CircuitOpenError,
  RateLimitedError,
  InProgressError,
  FingerprintMismatchError,
})) {
  Object.defineProperty(type.prototype, "name", { value: name, writable: true, configurable: true });
}

/**
 * An `InvalidArgumentError` that names the argument, what was given (shortened, without secrets) and what is allowed.
 * `name` is the path of the argument as its caller knows it: `options.ttl`, `key[2]`.
 */
export function invalidArgument(name: string, given: unknown, allowed: string): InvalidArgumentError {
  const rendered = renderValue(given, name);
  return new InvalidArgumentError(`${name}: given ${rendered}; allowed: ${allowed}`, {
    details: { name, given: rendered, allowed },
  });
}

/** A `LimitError` with its details. `unit` completes the sentence: "bytes", "operations". */
export function limitExceeded(name: string, given: number, limit: number, unit: string): LimitError {
  return new LimitError(`${name}: ${given} ${unit}, which is over the limit of ${limit} ${unit}`, {
    details: { name, given, limit },
  });
}
