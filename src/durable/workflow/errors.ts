import { AshlarError } from "../../core/index.ts";

/** What is kept of an error. */
export interface StoredError {
  readonly name: string;
  readonly message: string;
}

/** Thrown by the body of a step: more attempts are of no use. */
export class FatalError extends Error {
  override readonly name = "FatalError";
}

/** A step has used up its attempts, or a child has not completed. `details` is `{ step, error }`. */
export class StepFailedError extends AshlarError {
  constructor(step: string, error: StoredError, kind = "step") {
    super(`${kind} ${JSON.stringify(step)} failed: ${error.message}`, {
      code: "STEP_FAILED",
      definite: true,
      retryable: false,
      details: { step, error },
    });
  }
}

/** A run refused a request, or could not carry it out. `details` is `{ name, error }`. */
export class RequestFailedError extends AshlarError {
  constructor(name: string, error: StoredError) {
    super(`${JSON.stringify(name)} failed: ${error.message}`, {
      code: "REQUEST_FAILED",
      definite: true,
      retryable: false,
      details: { name, error },
    });
  }
}

/** The run was cancelled. */
export class CancelledError extends AshlarError {
  constructor(reason: string) {
    super(`the run was cancelled: ${reason}`, { code: "CANCELLED", definite: true, retryable: false });
  }
}

/** The run did not complete. `details` is `{ id, status, error }`. */
export class WorkflowFailedError extends AshlarError {
  constructor(id: string, status: string, error: StoredError | undefined) {
    super(`run ${JSON.stringify(id)} ${status === "failed" ? "failed" : `was ${status}`}: ${error?.message ?? ""}`, {
      code: "WORKFLOW_FAILED",
      definite: true,
      retryable: false,
      details: { id, status, error },
    });
  }
}

/** The code does not do what the history of the run says that it did. */
export class DivergenceError extends AshlarError {
  constructor(message: string) {
    super(message, { code: "DIVERGED", definite: true, retryable: false });
  }
}

export function divergence(
  id: string,
  workflow: string,
  { seq, kind, name }: { readonly seq: number; readonly kind: string; readonly name: string },
  instead: string,
): DivergenceError {
  const what = `${kind} ${JSON.stringify(name)}`;
  const where = seq < 0 ? `its history has ${what}` : `at command ${seq} its history has ${what}`;
  return new DivergenceError(
    `the code of ${JSON.stringify(workflow)} does not do what run ${JSON.stringify(id)} has done: ${where}, but ${instead}; patched() keeps a change from runs that are older`,
  );
}

/** The run cannot go on as things are, and waits to be tried again. */
export class StuckError extends Error {
  override readonly name = "StuckError";
}

const longestMessage = 2000;

export function toStored(error: unknown): StoredError {
  const name = error instanceof Error ? error.name : "Error";
  const message = error instanceof Error ? error.message : String(error);
  return { name: name.slice(0, 200), message: message.slice(0, longestMessage) };
}

/** Thrown through the function of a workflow: it is to go on anew. */
export class Continuation extends Error {
  readonly input: unknown;

  constructor(input: unknown) {
    super("the run goes on anew");
    this.input = input;
  }
}
