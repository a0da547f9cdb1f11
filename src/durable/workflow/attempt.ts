import { TimeoutError } from "../../core/index.ts";
import type { Engine, OpenTransaction } from "../../engine/index.ts";
import type { StepContext } from "./contract.ts";

/** One attempt at the body of a step. */
export class Attempt {
  readonly #user: Engine;
  #open: OpenTransaction | undefined;
  #controller: AbortController | undefined;
  #cut: { readonly reason: unknown } | undefined;
  #leave: ((reason: unknown) => void) | undefined;

  constructor(user: Engine) {
    this.#user = user;
  }

  /** What the body has written, if anything. */
  get open(): OpenTransaction | undefined {
    return this.#open?.touched ? this.#open : undefined;
  }

  /** Ends it: nothing that it still does counts. */
  cut(reason: unknown): void {
    if (this.#cut) return;
    this.#cut = { reason };
    this.#controller?.abort(reason);
    this.#leave?.(reason);
  }

  async run(
    body: (context: StepContext) => unknown,
    { token, attempt, timeout }: { readonly token: string; readonly attempt: number; readonly timeout: number },
  ): Promise<unknown> {
    const late = () => this.cut(new TimeoutError(`the step has not ended within ${timeout} ms`));
    const timer = this.#user.runtime.timers.after(timeout, late, { ref: false });
    try {
      return await new Promise((resolve, reject) => {
        this.#leave = reject;
        if (this.#cut) throw this.#cut.reason;
        Promise.resolve(body(this.#context(token, attempt))).then(resolve, reject);
      });
    } finally {
      this.#leave = undefined;
      timer.cancel();
    }
  }

  async rollback(): Promise<void> {
    await this.#open?.rollback().catch(() => {});
  }

  #context(token: string, attempt: number): StepContext {
    const self = this;
    return {
      token,
      attempt,
      get tx() {
        self.#open ??= self.#user.begin();
        return self.#open.tx;
      },
      get signal() {
        return self.#signal();
      },
    };
  }

  #signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cut) this.#controller.abort(this.#cut.reason);
    }
    return this.#controller.signal;
  }
}
