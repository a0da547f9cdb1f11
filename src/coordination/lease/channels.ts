import { channel } from "node:diagnostics_channel";

/** A lease was granted to this process: `LeaseMessage`. */
export const granted = channel("ashlar:lease:granted");
/** A lease of this process can no longer be relied on: `LeaseMessage` with `reason`. */
export const lost = channel("ashlar:lease:lost");
/** A renewal failed and will be tried again: `LeaseMessage` of the one that ends first. */
export const renewalFailed = channel("ashlar:lease:renewal-failed");

/** What the channels `ashlar:lease:…` carry. */
export interface LeaseMessage {
  readonly lease: string;
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds for which it can still be relied on. */
  readonly remaining: number;
  /** Why it was lost. */
  readonly reason?: string;
}
