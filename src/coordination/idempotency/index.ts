/** Idempotency: for each key one answer, recorded once and given to everybody who asks. */
export type { IdempotencyMessage } from "./channels.ts";
export type { Idempotency, KeyStatus, Outcome, RunContext } from "./contract.ts";
export { fingerprintOf } from "./fingerprint.ts";
export { createIdempotency } from "./idempotency.ts";
export { idempotent } from "./idempotent.ts";
export type { CallOptions, IdempotencyOptions, JoinOptions, OnInProgress, TransactCallOptions } from "./options.ts";
export { isReplayed } from "./replayed.ts";
export type { StoredError } from "./stored-error.ts";
