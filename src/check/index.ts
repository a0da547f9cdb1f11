/** Checkers: judge what clients saw of a system. They know nothing of how it works. */
export type { Checker, CheckResult, Verdict } from "./checker.ts";
export {
  formatHistory,
  fromEvents,
  type History,
  type HistoryEvent,
  type Operation,
  parseHistory,
  toEvents,
} from "./history.ts";
export { type Call, createRecorder, type Recorder, type RecorderOptions } from "./recorder.ts";
