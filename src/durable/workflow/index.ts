/** Workflows: plain async functions that survive the processes that run them, kept on the engine. */

export type { LogMessage, RunMessage, TroubleMessage } from "./channels.ts";
export type {
  Attributes,
  ChildOptions,
  Definition,
  HistoryEvent,
  Query,
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
  Update,
  Workflow,
  WorkflowContext,
  Workflows,
  WorkflowsOptions,
  WorkflowWorker,
  WorkOptions,
} from "./contract.ts";
export { defineQuery, defineSignal, defineUpdate, defineWorkflow } from "./definition.ts";
export {
  CancelledError,
  DivergenceError,
  FatalError,
  RequestFailedError,
  StepFailedError,
  WorkflowFailedError,
} from "./errors.ts";
export { createWorkflows, openWorkflows } from "./workflows.ts";
