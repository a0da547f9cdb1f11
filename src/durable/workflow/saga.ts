import { InvalidStateError, refuseUnknown } from "../../core/index.ts";
import type { Context } from "./context.ts";
import type { Saga, SagaStepOptions, StepContext } from "./contract.ts";
import { type StepSettings, toRetry, toStepSettings, undoRetry } from "./options.ts";

interface Undo {
  readonly name: string;
  readonly body: (context: StepContext) => unknown;
  readonly settings: StepSettings;
}

/** Sagas: H. Garcia-Molina, K. Salem, "Sagas", SIGMOD 1987. */
export class SagaSteps implements Saga {
  readonly #context: Context;
  readonly #underWay = new Set<Promise<unknown>>();
  /** What has completed, in this order. */
  #undos: Undo[] = [];
  #isPivoted = false;
  #isOver = false;

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
    if (this.#isOver) throw new InvalidStateError("the saga is being taken back: it begins nothing more");
    const carryOut = async (): Promise<T> => {
      const result = await this.#context.ask(name, body, settings, { shielded: true });
      if (undo) this.#undos.push({ name, body: (context) => undo(context, result), settings: undoing });
      return result as T;
    };
    const underWay = carryOut();
    this.#underWay.add(underWay);
    try {
      return await underWay;
    } finally {
      this.#underWay.delete(underWay);
    }
  }

  pivot(): void {
    this.#isPivoted = true;
  }

  async compensate(): Promise<void> {
    this.#isOver = true;
    if (this.#isPivoted) return;
    // Whether a branch that goes on beside the one that failed has an effect is known when it has ended.
    await Promise.allSettled(this.#underWay);
    const undos = this.#undos.splice(0);
    for (const { name, body, settings } of undos.toReversed())
      await this.#context.ask(`undo ${name}`.slice(0, 200), body, settings, { shielded: true, sticky: true });
  }
}
