import { channel } from "node:diagnostics_channel";

/** A job was added, in this process: `QueueMessage`. */
export const added = channel("ashlar:queue:added");
/** A handler begins: `QueueMessage`. */
export const started = channel("ashlar:queue:started");
/** A job is done and acknowledged: `QueueMessage`. */
export const done = channel("ashlar:queue:done");
/** An attempt failed; `outcome` says what becomes of the job: `QueueMessage` with `error`. */
export const failed = channel("ashlar:queue:failed");
/** Jobs of a process that died, or that lost its lease, were given back: `RecoveredMessage`. */
export const recovered = channel("ashlar:queue:recovered");
/** The engine failed a worker for a moment; it goes on: `TroubleMessage`. */
export const trouble = channel("ashlar:queue:trouble");

/** What the channels `ashlar:queue:added|started|done|failed` carry. */
export interface QueueMessage {
  readonly queue: string;
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempt?: number;
  readonly error?: unknown;
  readonly outcome?: "retry" | "dead" | "dropped" | "lost";
}

export interface RecoveredMessage {
  readonly queue: string;
  readonly lease: string;
  readonly jobs: number;
}

export interface TroubleMessage {
  readonly queue: string;
  readonly error: unknown;
}
