import { channel } from "node:diagnostics_channel";

/** A message was delivered; its acknowledgement follows: `RelayMessage`. */
export const delivered = channel("ashlar:relay:delivered");
/** A delivery failed: `RelayMessage` with `error`. What becomes of it is told by the queue (`ashlar:queue:failed`). */
export const failed = channel("ashlar:relay:failed");
/** The receiver wants no more; the relay is paused until somebody resumes it: `RelayMessage` with `error`. */
export const stopped = channel("ashlar:relay:stopped");

/** What the channels `ashlar:relay:…` carry. */
export interface RelayMessage {
  readonly relay: string;
  /** The message's id. */
  readonly id: string;
  readonly attempt: number;
  readonly error?: unknown;
}
