/** Queues: jobs for competing workers, kept on the engine; a handler's writes commit with the acknowledgement. */

// For blocks that hand out records of a log of their own.
export { Batcher } from "./batcher.ts";
export type { QueueMessage, RecoveredMessage, TroubleMessage } from "./channels.ts";
export type {
  Added,
  AddManyOptions,
  AddOptions,
  ChildResult,
  Counts,
  DeadLetters,
  DeadReason,
  Failure,
  FlowChild,
  FlowParent,
  Handler,
  Headers,
  Job,
  JobContext,
  JobInfo,
  JobState,
  ListedState,
  Queue,
  QueueOptions,
  RetryOptions,
  Verdict,
  Worker,
  WorkOptions,
} from "./contract.ts";
export type { Lane, LaneJob } from "./lane.ts";
export { LaneConsumer } from "./lane-consumer.ts";
export { createQueue } from "./queue.ts";
export { neededFrom } from "./trim.ts";
export { drop, park } from "./verdicts.ts";
