/** Topics: publish and subscribe, durable, each subscription with its own position, retries and dead letters. */
export type { TopicMessage } from "./channels.ts";
export type {
  DeadEvent,
  DeadEvents,
  EventContext,
  EventHandler,
  From,
  Published,
  PublishOptions,
  ReadTopicOptions,
  SubscribeOptions,
  Subscriber,
  Subscription,
  SubscriptionInfo,
  Topic,
  TopicEvent,
  TopicOptions,
} from "./contract.ts";
export { createTopic } from "./topic.ts";
