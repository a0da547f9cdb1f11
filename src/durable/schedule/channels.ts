import { channel } from "node:diagnostics_channel";
import type { TickKind } from "./contract.ts";

/** A run has been put into the queue by this process: `TickMessage`. */
export const begun = channel("ashlar:schedule:begun");
/** A tick was left out because of others that have not ended: `TickMessage`. */
export const skipped = channel("ashlar:schedule:skipped");
/** A tick was found too late: `TickMessage`. */
export const missed = channel("ashlar:schedule:missed");
/** The engine failed for a moment; it is tried again: `TroubleMessage`. */
export const trouble = channel("ashlar:schedule:trouble");

export interface TickMessage {
  readonly schedule: string;
  readonly time: number;
  readonly kind: TickKind;
}

export interface TroubleMessage {
  readonly schedule: string;
  readonly error: unknown;
}
