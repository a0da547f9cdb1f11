import { linkSignals, throwIfAborted } from "../../core/index.ts";
import type { Current } from "./contract.ts";
import type { View } from "./view.ts";

/** One watch of a view: shows each version once, the latest always. Calls of `next` are answered in order; `return` also ends one that waits. */
export class Watching<T> implements AsyncIterableIterator<Current<T>, undefined> {
  readonly #view: View<T>;
  readonly #closing: AbortSignal;
  readonly #signal: AbortSignal | undefined;
  readonly #left = new AbortController();
  #last: Promise<unknown> = Promise.resolve();
  #shown: number;

  /** @param after the version that the watcher knows already; -1: none */
  constructor(
    view: View<T>,
    options: { readonly after: number; readonly closing: AbortSignal; readonly signal?: AbortSignal | undefined },
  ) {
    this.#view = view;
    this.#shown = options.after;
    this.#closing = options.closing;
    this.#signal = options.signal;
  }

  next(): Promise<IteratorResult<Current<T>, undefined>> {
    const result = this.#last.then(() => this.#next());
    this.#last = result.catch(() => {});
    return result;
  }

  async return(): Promise<IteratorResult<Current<T>, undefined>> {
    this.#left.abort();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #next(): Promise<IteratorResult<Current<T>, undefined>> {
    for (;;) {
      if (this.#left.signal.aborted) return { done: true, value: undefined };
      try {
        throwIfAborted(this.#signal);
      } catch (error) {
        this.#left.abort();
        throw error;
      }
      if (this.#closing.aborted) return { done: true, value: undefined };
      const { current } = this.#view;
      if (current && current.version > this.#shown) {
        this.#shown = current.version;
        return { done: false, value: current };
      }
      await this.#wait();
    }
  }

  /** For a change, or the end of whichever kind. */
  async #wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unlisten = this.#view.listen(resolve);
    using ended = linkSignals(this.#left.signal, this.#closing, this.#signal);
    ended.signal.addEventListener("abort", () => resolve(), { once: true });
    if (!ended.signal.aborted) await promise;
    unlisten();
  }
}
