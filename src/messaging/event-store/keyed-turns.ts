import { raceAbort } from "../../core/index.ts";

/** Lets those who name the same key go one after another, in the order of their coming. Whose signal aborts while it waits leaves, and rejects with its reason. */
export class KeyedTurns {
  readonly #last = new Map<string, Promise<void>>();

  async run<T>(key: string, signal: AbortSignal | undefined, fn: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last.set(key, promise);
    const end = (): void => {
      resolve();
      if (this.#last.get(key) === promise) this.#last.delete(key);
    };
    try {
      if (before) await raceAbort(before, signal);
      return await fn();
    } finally {
      // Who left early does not let the next one overtake those who are still under way.
      if (before) void before.then(end);
      else end();
    }
  }
}
