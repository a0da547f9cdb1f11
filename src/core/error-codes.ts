import {
  type AshlarError,
  CircuitOpenError,
  ClosedError,
  ConflictError,
  CorruptionError,
  type ErrorOptions,
  type ErrorTraits,
  FingerprintMismatchError,
  InProgressError,
  InvalidArgumentError,
  InvalidStateError,
  LeaseLostError,
  LimitError,
  OutcomeUnknownError,
  OverloadedError,
  RateLimitedError,
  TimeoutError,
  UnavailableError,
  UnsupportedError,
} from "./errors.ts";

/** One row of the table of codes. */
export interface ErrorCode extends ErrorTraits {
  /** The class whose instances carry the code. */
  readonly class: new (
    message: string,
    options?: ErrorOptions,
  ) => AshlarError;
  /** What happened. */
  readonly meaning: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Every code of core with its class, its traits (as its class sets them by default), its meaning and its remedy. */
export const errorCodes: readonly ErrorCode[] = [
  {
    code: "CONFLICT",
    class: ConflictError,
    definite: true,
    retryable: true,
    meaning: "Something that the commit relied on had changed, so nothing was applied.",
    remedy: "Read again, decide anew and commit again; `transact` does this by itself.",
  },
  {
    code: "UNAVAILABLE",
    class: UnavailableError,
    definite: true,
    retryable: true,
    meaning: "The engine could not be reached or refused work; nothing was applied.",
    remedy: "Retry with backoff; check that the engine runs and that its URL is right.",
  },
  {
    code: "OUTCOME_UNKNOWN",
    class: OutcomeUnknownError,
    definite: false,
    retryable: false,
    meaning: "The answer was lost after the request was sent: it may have been applied.",
    remedy: "Read the state to find out before asking again, or use `transact`, which settles lost commits.",
  },
  {
    code: "TIMEOUT",
    class: TimeoutError,
    definite: true,
    retryable: true,
    meaning: "The time allowed has passed; nothing was applied unless `definite` is false.",
    remedy: "Retry if there is time left, allow more time, or find out what is slow.",
  },
  {
    code: "INVALID_ARGUMENT",
    class: InvalidArgumentError,
    definite: true,
    retryable: false,
    meaning: "An argument has the wrong type or is outside its range: a mistake in the calling program.",
    remedy: "Correct the argument that the message names.",
  },
  {
    code: "LIMIT",
    class: LimitError,
    definite: true,
    retryable: false,
    meaning: "A size or a count is over its bound.",
    remedy: "Make it smaller or split it; `details` holds the name, what was given, and the limit.",
  },
  {
    code: "CORRUPTION",
    class: CorruptionError,
    definite: true,
    retryable: false,
    meaning: "Bytes that were read do not make sense or do not match their checksum.",
    remedy: "Restore from a backup; check the disk; make sure that nothing else writes to the store.",
  },
  {
    code: "CLOSED",
    class: ClosedError,
    definite: true,
    retryable: false,
    meaning: "What was used had been closed before.",
    remedy: "Close only when nothing uses it any more; open it anew to go on.",
  },
  {
    code: "UNSUPPORTED",
    class: UnsupportedError,
    definite: true,
    retryable: false,
    meaning: "The engine, or this version of it, cannot do this.",
    remedy: "Look at the engine's guarantees; choose an engine that can, or another way.",
  },
  {
    code: "OVERLOADED",
    class: OverloadedError,
    definite: true,
    retryable: true,
    meaning: "A bounded queue is full; the work was refused before it began.",
    remedy: "Retry later with backoff, slow down, or shed load.",
  },
  {
    code: "INVALID_STATE",
    class: InvalidStateError,
    definite: true,
    retryable: false,
    meaning: "Used at the wrong moment, such as a transaction after its end.",
    remedy: "Correct the order of calls in the program.",
  },
  {
    code: "LEASE_LOST",
    class: LeaseLostError,
    definite: true,
    retryable: false,
    meaning:
      "What was held under a lease (a lock, a leadership) is no longer held; nothing asked under it happens any more.",
    remedy: "Stop the work, acquire again if it is still to be done; find out what paused the process or cut it off.",
  },
  {
    code: "CIRCUIT_OPEN",
    class: CircuitOpenError,
    definite: true,
    retryable: true,
    meaning: "A circuit breaker is open after failures; the call was refused before it began.",
    remedy: "Come back after `details.retryAfterMs`, or fall back.",
  },
  {
    code: "RATE_LIMITED",
    class: RateLimitedError,
    definite: true,
    retryable: true,
    meaning: "A rate limit is used up; refused before it began.",
    remedy: "Come back after `details.retryAfterMs`.",
  },
  {
    code: "IN_PROGRESS",
    class: InProgressError,
    definite: true,
    retryable: true,
    meaning: "The same work, by its idempotency key, is being done elsewhere at this moment.",
    remedy: "Ask again a little later for its result.",
  },
  {
    code: "FINGERPRINT_MISMATCH",
    class: FingerprintMismatchError,
    definite: true,
    retryable: false,
    meaning: "An idempotency key was used before for another request.",
    remedy: "Use a fresh key for each request, and the same key only to repeat the very same one.",
  },
];
