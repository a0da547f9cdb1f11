import { invalidArgument, refuseUnknown, type StandardSchema } from "../../core/index.ts";
import type { Query, Signal, Update, Workflow, WorkflowContext } from "./contract.ts";

/** @throws InvalidArgumentError */
export function text(given: unknown, name: string): asserts given is string {
  if (typeof given !== "string" || given.length === 0 || given.length > 200)
    throw invalidArgument(name, given, "a text of 1 to 200 characters");
}

/**
 * A workflow. Its function may only depend on its input and on what the context gives it: whoever goes on with a run executes it again, and gives it the same answers.
 * @param name 1 to 200 characters: runs are found by it, so it stays
 */
export function defineWorkflow<I = unknown, O = unknown>(
  name: string,
  run: (context: WorkflowContext, input: I) => O | Promise<O>,
  options: { readonly input?: StandardSchema<I>; readonly output?: StandardSchema<O> } = {},
): Workflow<I, O> {
  text(name, "name");
  if (typeof run !== "function") throw invalidArgument("run", run, "a function of a context and an input");
  refuseUnknown(options, ["input", "output"]);
  return { name, run, input: options.input, output: options.output };
}

/** A kind of message to runs. @param name 1 to 200 characters, not beginning with "$" */
export function defineSignal<P = unknown>(
  name: string,
  options: { readonly schema?: StandardSchema<P> } = {},
): Signal<P> {
  text(name, "name");
  if (name.startsWith("$")) throw invalidArgument("name", name, 'a text that does not begin with "$"');
  refuseUnknown(options, ["schema"]);
  return { name, schema: options.schema };
}

/** A question to runs. @param name 1 to 200 characters */
export function defineQuery<A = unknown, R = unknown>(
  name: string,
  options: { readonly schema?: StandardSchema<A> } = {},
): Query<A, R> {
  text(name, "name");
  refuseUnknown(options, ["schema"]);
  return { kind: "query", name, schema: options.schema };
}

/** A request to runs. @param name 1 to 200 characters */
export function defineUpdate<A = unknown, R = unknown>(
  name: string,
  options: { readonly schema?: StandardSchema<A> } = {},
): Update<A, R> {
  text(name, "name");
  refuseUnknown(options, ["schema"]);
  return { kind: "update", name, schema: options.schema };
}
