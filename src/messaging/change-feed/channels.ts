import { channel } from "node:diagnostics_channel";

/** This process captures from now on: `CaptureMessage`. */
export const leading = channel("ashlar:change-feed:leading");
/** Changes were put into the feed: `CaptureMessage` with `changes`, their number. */
export const captured = channel("ashlar:change-feed:captured");
/** Capturing failed for a moment; it begins again: `CaptureMessage` with `error`. */
export const trouble = channel("ashlar:change-feed:trouble");
/** A follower's handler failed, or its engine did; the same changes come again: `FollowMessage` with `error`. */
export const failed = channel("ashlar:change-feed:failed");

/** What the channels `ashlar:change-feed:leading|captured|trouble` carry. */
export interface CaptureMessage {
  readonly feed: string;
  readonly changes?: number;
  readonly error?: unknown;
}

/** What the channel `ashlar:change-feed:failed` carries. */
export interface FollowMessage {
  readonly feed: string;
  readonly follower: string;
  /** Offset of the first of the changes. */
  readonly position: number;
  readonly error: unknown;
}
