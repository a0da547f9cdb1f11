import { channel } from "node:diagnostics_channel";

/** A run was begun by this process: `RunMessage`. */
export const started = channel("ashlar:workflow:started");
/** A run is in this process's memory now: `RunMessage`. */
export const loaded = channel("ashlar:workflow:loaded");
/** A run has left this process's memory: `RunMessage` with `departure`. */
export const left = channel("ashlar:workflow:left");
/** The engine failed an owner for a moment; it goes on: `TroubleMessage`. */
export const trouble = channel("ashlar:workflow:trouble");

/** What the channels `ashlar:workflow:started|loaded|left` carry. */
export interface RunMessage {
  readonly name: string;
  readonly id: string;
  readonly workflow: string;
  readonly departure?: "ended" | "parked" | "reload";
}

export interface TroubleMessage {
  readonly name: string;
  readonly error: unknown;
}
