/** Failure detectors: which peers are probably gone, judged from their heartbeats. They need no engine. */
export type { FailureDetector, Transition } from "./contract.ts";
export type { DetectorOptions } from "./options.ts";
export { createPhiAccrualDetector, type PhiAccrualDetectorOptions } from "./phi-accrual-detector.ts";
export { createTimeoutDetector, type TimeoutDetectorOptions } from "./timeout-detector.ts";
