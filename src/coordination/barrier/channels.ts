import { channel } from "node:diagnostics_channel";

/** A party has come and waits: `BarrierMessage`. */
export const arrived = channel("ashlar:barrier:arrived");
/** A party has passed: `BarrierMessage` with `waitedMs`. */
export const passed = channel("ashlar:barrier:passed");
/** A party has given up: `BarrierMessage` with `waitedMs` and `error`. */
export const withdrawn = channel("ashlar:barrier:withdrawn");

export interface BarrierMessage {
  readonly name: string;
  readonly party: string;
  readonly waitedMs?: number;
  readonly error?: unknown;
}
