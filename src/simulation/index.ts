/**
 * Deterministic simulation: the real code of a system on a virtual clock, network and disk, with faults drawn from a seed. For tests; nothing
 * of it is needed in production.
 */
export type { DiskFaults } from "./disk/disk-faults.ts";
export type { VirtualDirent, VirtualFileHandle, VirtualFs, VirtualStats } from "./disk/virtual-fs.ts";
export { type CreateEngineServer, type EngineServer, memoryServer } from "./engine/server.ts";
export {
  assertHolds,
  describeFailure,
  type Exploration,
  type ExploreOptions,
  explore,
  type RunSeed,
  SimulationFailedError,
  Tally,
} from "./explore.ts";
export type { StruckFault } from "./fault-plan.ts";
export { type FaultGroup, type FaultKind, type FaultMenu, faultKinds, faultTable } from "./faults.ts";
export { SimulationEscapeError } from "./globals/escape-error.ts";
export { type SimulatePatchedOptions, simulatePatched } from "./globals/simulate-patched.ts";
export type { Datagram, Network } from "./network/network.ts";
export type { Connection, Listener } from "./network/streams.ts";
export { renderSimulation } from "./report/report.ts";
export type { Failure, SimulationResult } from "./result.ts";
export type {
  Budget,
  NodeSpec,
  RecordedCall,
  Reduction,
  Scenario,
  SimulatedClient,
  SimulatedNode,
  Workload,
  World,
} from "./scenario.ts";
export { type ShrinkOptions, type Shrunk, shrink } from "./shrink.ts";
export { simulate } from "./simulate.ts";
export type { RunOptions, SimulateOptions } from "./sized-scenario.ts";
export type { TimelineEntry } from "./timeline.ts";
export type { Decision, Divergence } from "./trace.ts";
export { fromWire, toWire } from "./wire.ts";
