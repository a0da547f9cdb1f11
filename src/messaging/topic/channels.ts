import { channel } from "node:diagnostics_channel";

/** An event was published, in this process and not as part of a transaction of the caller's: `TopicMessage`. */
export const published = channel("ashlar:topic:published");

/** What the channel `ashlar:topic:published` carries. What becomes of events in subscriptions is told by the channels of queues, under the name `topic/subscription`. */
export interface TopicMessage {
  readonly topic: string;
  readonly id: string;
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
}
