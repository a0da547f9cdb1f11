import { channel } from "node:diagnostics_channel";
import { type Runtime, refuseUnknown, systemRuntime } from "../core/index.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { withLayer } from "./layered.ts";
import { checkFunction } from "./option-checks.ts";
import type { Policy, PolicyContext } from "./policy.ts";
import { transienceOf } from "./transience.ts";

const used = channel("ashlar:fallback:used");

export interface FallbackOptions {
  /** For which errors. Default: those that tell of trouble (see `transienceOf`: all but "never"), so mistakes of the program stay visible. */
  readonly fallbackIf?: (error: unknown) => boolean;
  /** Results that are failures: they are substituted too, with `undefined` for the error. Default: none. */
  readonly isFailure?: (result: unknown) => boolean;
  /** For diagnostics. Default "fallback". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

/**
 * Answers with something less good when the operation fails: a value, or what the function makes of the error. A function as the value itself must be wrapped in one. After an
 * abort from outside there is no substitute: nobody waits for it. What the function throws comes through.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function fallback<S>(
  substitute: S | ((error: unknown, context: PolicyContext) => S | PromiseLike<S>),
  options: FallbackOptions = {},
): Policy<S> {
  refuseUnknown(options, ["fallbackIf", "isFailure", "name", "runtime"]);
  checkFunction("options.fallbackIf", options.fallbackIf);
  checkFunction("options.isFailure", options.isFailure);
  const substituteFor =
    typeof substitute === "function"
      ? (substitute as (error: unknown, context: PolicyContext) => unknown)
      : () => substitute;
  return withLayer(new FallbackLayer(substituteFor, options), {}) as Policy<S>;
}

class FallbackLayer implements Layer {
  readonly runtime: Runtime;
  readonly #substituteFor: (error: unknown, context: PolicyContext) => unknown;
  readonly #fallbackIf: (error: unknown) => boolean;
  readonly #isFailure: FallbackOptions["isFailure"];
  readonly #name: string;

  constructor(substituteFor: (error: unknown, context: PolicyContext) => unknown, options: FallbackOptions) {
    this.runtime = options.runtime ?? systemRuntime;
    this.#substituteFor = substituteFor;
    this.#fallbackIf = options.fallbackIf ?? ((error) => transienceOf(error) !== "never");
    this.#isFailure = options.isFailure;
    this.#name = options.name ?? "fallback";
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    return call
      .proceed(depth, context)
      .then(
        this.#isFailure &&
          ((result) =>
            this.#isFailure?.(result) && !context.scope?.aborted ? this.#substitute(undefined, context) : result),
        (error: unknown) => {
          if (context.scope?.aborted || !this.#fallbackIf(error)) throw error;
          return this.#substitute(error, context);
        },
      );
  }

  async #substitute<T>(error: unknown, context: CallContext): Promise<T> {
    if (used.hasSubscribers) used.publish({ name: this.#name, error });
    return (await this.#substituteFor(error, context)) as T;
  }
}
