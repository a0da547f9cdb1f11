import { throwIfAborted } from "../core/index.ts";

/** A source that is asked for one thing after another. */
export interface PullSource<T> {
  next(): Promise<T>;
  close(): void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * An endless source as an async iterator. Unlike an async generator's, its `return` takes effect while a `next` is waiting (which then
 * resolves as done), and so does the signal (which rejects it with the reason). Calls of `next` are answered in order.
 */
export function pull<T>(source: PullSource<T>): AsyncIterableIterator<T> {
  return new Pull(source);
}

class Pull<T> implements AsyncIterableIterator<T> {
  readonly #source: PullSource<T>;
  readonly #end = Promise.withResolvers<IteratorResult<T>>();
  #last: Promise<unknown> = Promise.resolve();
  #done = false;

  constructor(source: PullSource<T>) {
    this.#source = source;
    // Nobody may be waiting when the source ends.
    this.#end.promise.catch(() => {});
    source.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  next(): Promise<IteratorResult<T>> {
    const result = this.#last.then(() => this.#next());
    this.#last = result.catch(() => {});
    return result;
  }

  async return(): Promise<IteratorResult<T>> {
    this.#finish();
    this.#end.resolve({ done: true, value: undefined });
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #next(): Promise<IteratorResult<T>> {
    if (this.#done) return { done: true, value: undefined };
    try {
      throwIfAborted(this.#source.signal);
      const found = this.#source.next().then((value): IteratorResult<T> => ({ done: false, value }));
      found.catch(() => {});
      return await Promise.race([found, this.#end.promise]);
    } catch (error) {
      this.#finish();
      throw error;
    }
  }

  readonly #onAbort = (): void => {
    this.#end.reject(this.#source.signal?.reason);
  };

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#source.signal?.removeEventListener("abort", this.#onAbort);
    this.#source.close();
  }
}
