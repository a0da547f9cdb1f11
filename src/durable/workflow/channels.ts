import { channel } from "node:diagnostics_channel";

/** A run was begun by this process: `RunMessage`. */
export const started = channel("ashlar:workflow:started");
/** A run is in this process's memory now: `RunMessage`. */
export const loaded = channel("ashlar:workflow:loaded");
/** A run has left this process's memory: `RunMessage` with `departure`. */
export const left = channel("ashlar:workflow:left");
/** The engine failed an owner for a moment; it goes on: `TroubleMessage`. */
export const trouble = channel("ashlar:workflow:trouble");

/** What a run tells of itself: `LogMessage`. */
export const log = channel("ashlar:workflow:log");

/** What the channels `ashlar:workflow:started|loaded|left` carry. */
export interface RunMessage {
  readonly name: string;
  readonly id: string;
  readonly workflow: string;
  readonly departure?: "ended" | "parked" | "renewed" | "reload";
}

export interface TroubleMessage {
  readonly name: string;
  readonly error: unknown;
}

export interface LogMessage {
  readonly name: string;
  readonly id: string;
  readonly workflow: string;
  /** The engine's clock, milliseconds since the epoch, as the run knows it. */
  readonly at: number;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}
