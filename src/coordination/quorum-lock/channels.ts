import { channel } from "node:diagnostics_channel";

/** What can be listened to with `node:diagnostics_channel`. */
export const quorumLockChannels = {
  /** `{ name, owner, token, votes, tookMs }` */
  acquired: channel("ashlar:quorum-lock:acquired"),
  /** `{ name, owner, reason: "held" | "unavailable" | "late", tookMs }`: one attempt */
  refused: channel("ashlar:quorum-lock:refused"),
  /** `{ name, owner, token }`: no majority renewed it in time */
  lost: channel("ashlar:quorum-lock:lost"),
} as const;
