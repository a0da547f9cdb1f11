import { channel } from "node:diagnostics_channel";

/** An attempt at a batch failed: `BatchMessage`. */
export const failed = channel("ashlar:stream:failed");
/** A record was kept aside: `BatchMessage`. */
export const parked = channel("ashlar:stream:parked");
/** The engine failed a consumer for a moment; it goes on: `BatchMessage`. */
export const trouble = channel("ashlar:stream:trouble");

/** What the channels `ashlar:stream:…` carry. */
export interface BatchMessage {
  readonly stream: string;
  readonly group: string;
  readonly partition: number;
  /** Of the first record concerned. */
  readonly offset: number;
  readonly error: unknown;
}
