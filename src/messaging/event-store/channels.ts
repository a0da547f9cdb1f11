import { channel } from "node:diagnostics_channel";

/** Events were appended by this process, or their transaction was given them: `AppendedMessage`. */
export const appended = channel("ashlar:event-store:appended");
/** A stream was not at the version that an append expected: `ConflictMessage`. */
export const conflict = channel("ashlar:event-store:conflict");
/** A snapshot was written, or could not be: `SnapshotMessage`. */
export const snapshot = channel("ashlar:event-store:snapshot");
/** A batch of a projection has been committed: `ProjectedMessage`. */
export const projected = channel("ashlar:event-store:projected");
/** A handler of a projection threw: `ProjectionFailedMessage`. */
export const projectionFailed = channel("ashlar:event-store:projection-failed");
/** A new generation of a projection has taken the place of the one before: `SwappedMessage`. */
export const swapped = channel("ashlar:event-store:swapped");
/** The engine failed a projection for a moment; it goes on: `TroubleMessage`. */
export const trouble = channel("ashlar:event-store:trouble");

export interface AppendedMessage {
  readonly store: string;
  readonly stream: string;
  /** Of the last event. */
  readonly version: number;
  readonly events: number;
}

export interface ConflictMessage {
  readonly store: string;
  readonly stream: string;
  readonly expected: number | string;
  readonly actual: number;
}

export interface SnapshotMessage {
  readonly store: string;
  readonly stream: string;
  readonly version: number;
  readonly error?: unknown;
}

export interface ProjectedMessage {
  readonly store: string;
  readonly projection: string;
  readonly generation: number;
  readonly events: number;
  /** Everything below is projected. */
  readonly position: number;
}

export interface ProjectionFailedMessage {
  readonly store: string;
  readonly projection: string;
  readonly generation: number;
  readonly position: number;
  readonly failures: number;
  readonly error: unknown;
}

export interface SwappedMessage {
  readonly store: string;
  readonly projection: string;
  readonly generation: number;
  readonly position: number;
}

export interface TroubleMessage {
  readonly store: string;
  readonly projection: string;
  readonly error: unknown;
}
