import { refuseUnknown } from "../../core/index.ts";
import type { Context } from "./context.ts";
import type { Saga, SagaStepOptions, StepContext } from "./contract.ts";
import { type StepSettings, toRetry, toStepSettings, undoRetry } from "./options.ts";

/** Sagas: H. Garcia-Molina, K. Salem, "Sagas", SIGMOD 1987. */
export class SagaSteps implements Saga {
  readonly #context: Context;
  #done: {
    readonly name: string;
    readonly undo: (context: StepContext) => unknown;
    readonly settings: StepSettings;
  }[] = [];

  constructor(context: Context) {
    this.#context = context;
  }

  async step<T>(
    name: string,
    body: (context: StepContext) => T | Promise<T>,
    options: SagaStepOptions = {},
  ): Promise<T> {
    refuseUnknown(options, ["retry", "timeout", "undo", "undoRetry"]);
    const { undo, undoRetry: policy = {}, ...rest } = options;
    const settings = toStepSettings(rest);
    const undoing = { ...settings, retry: toRetry(policy, undoRetry, "undoRetry") };
    // A cancelled run begins nothing more; what it has begun is known to be done or not.
    this.#context.signal.throwIfAborted();
    const result = await this.#context.ask(name, body, settings, { shielded: true });
    if (undo) this.#done.push({ name, undo: (context) => undo(context, result), settings: undoing });
    return result as T;
  }

  pivot(): void {
    this.#done = [];
  }

  async compensate(): Promise<void> {
    const done = this.#done;
    this.#done = [];
    for (const { name, undo, settings } of done.toReversed())
      await this.#context.ask(`undo ${name}`.slice(0, 200), undo, settings, { shielded: true, sticky: true });
  }
}
