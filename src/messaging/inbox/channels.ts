import { channel } from "node:diagnostics_channel";

/** A message was received for the first time, and its effect has committed (in a transaction of someone else: will, with it): `InboxMessage`. */
export const received = channel("ashlar:inbox:received");
/** A message came again; its handler did not run: `InboxMessage`. */
export const duplicate = channel("ashlar:inbox:duplicate");
/** A handler threw, nothing was applied, and the message may come again: `InboxMessage` with `error`. */
export const failed = channel("ashlar:inbox:failed");

/** What the channels `ashlar:inbox:…` carry. */
export interface InboxMessage {
  readonly inbox: string;
  readonly id: string;
  readonly error?: unknown;
}
