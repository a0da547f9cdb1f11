/** Relays: messages to the outside, at least once, each under an id that stays the same; webhooks. */
export { drop, park, type Worker } from "../queue/index.ts";
export type { RelayMessage } from "./channels.ts";
export type {
  Deliver,
  DeliverContext,
  Outgoing,
  Relay,
  RelayOptions,
  RunOptions,
  SendOptions,
  Sent,
} from "./contract.ts";
export { createRelay } from "./relay.ts";
export { stop } from "./stopping.ts";
export { type WebhookBody, type WebhookOptions, webhook } from "./webhook.ts";
