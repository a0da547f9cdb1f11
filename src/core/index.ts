export {
  type Deadline,
  type DeadlineOptions,
  type LinkedSignal,
  linkSignals,
  raceAbort,
  throwIfAborted,
  withDeadline,
} from "./abort.ts";
export type { MaybePromise } from "./async.ts";
export { AsyncQueue, type AsyncQueueOptions } from "./async-queue.ts";
export { fullJitter } from "./backoff.ts";
export {
  asBuffer,
  compareBytes,
  concat,
  copyBytes,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
  fromBase64Url,
  fromBinaryString,
  fromHex,
  ownBytes,
  toBase64Url,
  toBinaryString,
  toHex,
} from "./bytes.ts";
export { decodeInteger, decodeValue, Encoded, encodeInteger, encodeValue, INTEGER_TAG } from "./codec.ts";
export { type Closer, createCloser } from "./disposal.ts";
export { type Duration, toMilliseconds } from "./duration.ts";
export { type ErrorCode, errorCodes } from "./error-codes.ts";
export {
  AshlarError,
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
  invalidArgument,
  isAshlarError,
  LeaseLostError,
  LimitError,
  limitExceeded,
  OutcomeUnknownError,
  OverloadedError,
  RateLimitedError,
  TimeoutError,
  UnavailableError,
  UnsupportedError,
} from "./errors.ts";
export { ByteReader, ByteWriter } from "./frames.ts";
export { hash32 } from "./hash.ts";
export { escapeHtml, htmlPage } from "./html.ts";
export { createIds, type Ids } from "./ids.ts";
export { type ByteRange, encodeRange, type KeyRange, type KeySpan } from "./key-ranges.ts";
export { compareKeys, decodeKey, encodeKey, type Key, type KeyPart, keyName } from "./keys.ts";
export { refuseUnknown } from "./option-names.ts";
export { renderValue } from "./render.ts";
export { type Clock, type Random, type Runtime, sleep, systemRuntime, type Timer, type Timers } from "./runtime.ts";
export { type SchemaIssue, type SchemaResult, type StandardSchema, validate } from "./schema.ts";
