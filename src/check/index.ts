/** Checkers: judge what clients saw of a system. They know nothing of how it works. */
export type { Checker, CheckResult, Verdict } from "./checker.ts";
export { type DeliveryOptions, delivery } from "./delivery/delivery.ts";
export { partitionLog } from "./delivery/partition-log.ts";
export { renderCheck } from "./drawing/counterexample.ts";
export {
  formatHistory,
  fromEvents,
  type History,
  type HistoryEvent,
  type Operation,
  parseHistory,
  toEvents,
} from "./history.ts";
export {
  type LinearizabilityChecker,
  type LinearizabilityResult,
  type LinearizableOptions,
  linearizable,
} from "./linearizability/linearizable.ts";
export type { Model, Movement, Transition } from "./linearizability/model.ts";
export { counter } from "./models/counter.ts";
export { fencedMutex } from "./models/fenced-mutex.ts";
export { fifoQueue } from "./models/fifo-queue.ts";
export { log } from "./models/log.ts";
export { models } from "./models/models.ts";
export { casRegister, keyValue, register } from "./models/register.ts";
export { set } from "./models/set.ts";
export { unorderedQueue } from "./models/unordered-queue.ts";
export { type Call, createRecorder, type Recorder, type RecorderOptions } from "./recorder.ts";
export { type RecordedKv, type RecordOptions, recordKv } from "./recording/recorded-kv.ts";
export { type ListStep, type RecordedLists, recordLists } from "./recording/recorded-lists.ts";
export { type CausalPattern, causal } from "./sessions/causal.ts";
export {
  monotonicReads,
  monotonicWrites,
  readYourWrites,
  type SessionGuarantee,
  type SessionsOptions,
  sessions,
  writesFollowReads,
} from "./sessions/sessions.ts";
export { type AnomalyName, type IsolationLevel, isolationLevels } from "./transactions/levels.ts";
export {
  type Anomaly,
  type AnomalyStep,
  type TransactionResult,
  type TransactionsChecker,
  type TransactionsOptions,
  transactions,
} from "./transactions/transactions.ts";
