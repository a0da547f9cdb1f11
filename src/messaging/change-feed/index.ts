/** Change feeds: what becomes of the keys of a range, as a log to read and to follow (change data capture). */

export { createChangeFeed } from "./change-feed.ts";
export type { CaptureMessage, FollowMessage } from "./channels.ts";
export type {
  ChangeFeed,
  ChangeFeedOptions,
  FeedChange,
  FollowContext,
  FollowHandler,
  FollowOptions,
  ReadFeedOptions,
  Running,
} from "./contract.ts";
