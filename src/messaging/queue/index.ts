/** Queues: jobs for competing workers, kept on the engine; a handler's writes commit with the acknowledgement. */
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
export { createQueue } from "./queue.ts";
export { drop, park } from "./verdicts.ts";
