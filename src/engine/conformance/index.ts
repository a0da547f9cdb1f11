/** The contract of engines as tests: for who writes an engine, and for `ashlar verify`. */
export type { Contract } from "./fact.ts";
export { contracts } from "./fact.ts";
export {
  type CommitRecord,
  findViolation,
  type History,
  type Interval,
  type Observation,
  type ReadRecord,
} from "./history.ts";
export { runConformance } from "./node-test.ts";
export { isIn, Oracle, type OracleEntry, type Verdict } from "./oracle.ts";
export {
  type CaseResult,
  describeError,
  type GuaranteeResult,
  type Report,
  type ReportOptions,
  renderReport,
  report,
} from "./report.ts";
export { type FinalState, findAnomaly, type Operation, type TransactionRecord } from "./serializability.ts";
export { type Conformance, type ConformanceCase, type ConformanceTarget, conformance } from "./suite.ts";
