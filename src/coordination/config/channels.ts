import { channel } from "node:diagnostics_channel";

/** This process has a new value: `ConfigMessage`. */
export const changed = channel("ashlar:config:changed");
/** This process has written a new version: `ConfigMessage`. */
export const written = channel("ashlar:config:written");
/** The stored value does not satisfy the schema of this process, which keeps the one that it has: `ConfigMessage` with `error`. */
export const invalid = channel("ashlar:config:invalid");
/** The engine has not answered for `staleAfter`: `ConfigMessage` with `since`. */
export const stale = channel("ashlar:config:stale");
/** The engine answers again: `ConfigMessage` with `since`, from when on the value was stale. */
export const fresh = channel("ashlar:config:fresh");

/** What the channels `ashlar:config:…` carry. Never the value. */
export interface ConfigMessage {
  readonly name: string;
  /** 0: none was ever set. */
  readonly version: number;
  readonly error?: unknown;
  /** Milliseconds since the epoch, by this process's clock. */
  readonly since?: number;
}
