/** Workflows: plain async functions that survive the processes that run them, kept on the engine. */

export type { RunMessage, TroubleMessage } from "./channels.ts";
export type {
  Definition,
  HistoryEvent,
  RetryPolicy,
  Run,
  RunInfo,
  RunStatus,
  Saga,
  SagaStepOptions,
  Signal,
  StartOptions,
  StepContext,
  StepOptions,
  Workflow,
  WorkflowContext,
  Workflows,
  WorkflowsOptions,
  WorkflowWorker,
  WorkOptions,
} from "./contract.ts";
export { defineSignal, defineWorkflow } from "./definition.ts";
export { CancelledError, DivergenceError, FatalError, StepFailedError, WorkflowFailedError } from "./errors.ts";
export { createWorkflows, openWorkflows } from "./workflows.ts";
