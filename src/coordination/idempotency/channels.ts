import { channel } from "node:diagnostics_channel";

/** A function begins, in this process: `IdempotencyMessage`; `tookOver` if the process that ran it before is dead. */
export const started = channel("ashlar:idempotency:started");
/** A result or a final error was recorded: `IdempotencyMessage` with `error` if it is one. */
export const recorded = channel("ashlar:idempotency:recorded");
/** A recorded result or error was given to a caller instead of running its function: `IdempotencyMessage`. */
export const replayed = channel("ashlar:idempotency:replayed");
/** The function failed in a way that leaves the key free for another attempt: `IdempotencyMessage` with `error`. */
export const failed = channel("ashlar:idempotency:failed");
/** The function has ended, but too late: the lease was lost, and what it came to is not recorded. `IdempotencyMessage`. */
export const lost = channel("ashlar:idempotency:lost");
/** A caller was refused: in progress elsewhere, or another fingerprint. `IdempotencyMessage` with `error`. */
export const refused = channel("ashlar:idempotency:refused");

/** What the channels `ashlar:idempotency:…` carry. */
export interface IdempotencyMessage {
  readonly name: string;
  readonly key: string;
  /** Which run of the function this is, or was: 1 for the first. */
  readonly attempt: number;
  readonly error?: unknown;
  readonly tookOver?: boolean;
}
