import { channel } from "node:diagnostics_channel";

/** Numbers were taken from the engine: `ReservedMessage`. */
export const reserved = channel("ashlar:sequence:reserved");

export interface ReservedMessage {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}
