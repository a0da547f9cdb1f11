/** Inboxes: messages from outside, each of which takes effect once; and the signatures of webhooks. */
export type { InboxMessage } from "./channels.ts";
export type { Inbox, InboxOptions, MessageId, Receipt, ReceiveContext, ReceiveOptions } from "./contract.ts";
export { createInbox } from "./inbox.ts";
export {
  isSendableId,
  type SignedHeaders,
  signWebhook,
  type VerifiedWebhook,
  type VerifyOptions,
  verifyWebhook,
  type WebhookRefusal,
  type WebhookRequest,
  type WebhookSecret,
} from "./webhook-signature.ts";
