import { channel } from "node:diagnostics_channel";

/** This process has registered an instance: `RegistryMessage`. */
export const registered = channel("ashlar:registry:registered");
/** A registration of this process has lost its lease: `RegistryMessage`. */
export const lost = channel("ashlar:registry:lost");
/** A registration that was lost stands again: `RegistryMessage`. */
export const restored = channel("ashlar:registry:restored");
/** A registration of this process is over for good: `RegistryMessage` with `error`. */
export const ended = channel("ashlar:registry:ended");
/** Entries of dead instances were removed from the store: `RegistryMessage` of each. */
export const swept = channel("ashlar:registry:swept");

/** What the channels `ashlar:registry:…` carry. */
export interface RegistryMessage {
  readonly service: string;
  readonly id: string;
  readonly error?: unknown;
}
