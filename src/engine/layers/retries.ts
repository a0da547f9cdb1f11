import { fullJitter, isAshlarError, type Runtime, sleep } from "../../core/index.ts";

/** Failures in a row after which whoever retries gives up: about eight seconds, with the waits between them. */
const mostFailures = 8;

/** Patience with an engine that is away for a moment, for work that does no harm when it is done twice. */
export class Retries {
  readonly #runtime: Runtime;
  readonly #signal: AbortSignal | undefined;
  #failures = 0;

  constructor(runtime: Runtime, signal?: AbortSignal) {
    this.#runtime = runtime;
    this.#signal = signal;
  }

  /** To be called after success: only failures in a row count. */
  reset(): void {
    this.#failures = 0;
  }

  /**
   * Resolves when it is time to try again.
   * @throws the error, if trying again is of no use or was tried often enough; the signal's reason
   */
  async after(error: unknown): Promise<void> {
    if (this.#signal?.aborted || !isTransient(error) || ++this.#failures >= mostFailures) throw error;
    const signal = this.#signal ? { signal: this.#signal } : {};
    await sleep(this.#runtime, fullJitter(this.#runtime, this.#failures, { base: 50, cap: 2000 }), signal);
  }
}

/** Runs the work until it succeeds, as far as patience goes. */
export async function retry<T>(runtime: Runtime, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const retries = new Retries(runtime, signal);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await retries.after(error);
    }
  }
}

function isTransient(error: unknown): boolean {
  return (
    isAshlarError(error, "UNAVAILABLE") || isAshlarError(error, "OVERLOADED") || isAshlarError(error, "OUTCOME_UNKNOWN")
  );
}
