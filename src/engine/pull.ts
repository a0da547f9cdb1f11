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
  /** How it ended from outside: by `return` or by the signal. */
  #end: { readonly error?: unknown } | undefined;
  /** Tells the `next` that waits that it has ended. */
  #interrupt: (() => void) | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #done = false;

  constructor(source: PullSource<T>) {
    this.#source = source;
    source.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  next(): Promise<IteratorResult<T>> {
    const result = this.#last.then(() => this.#next());
    this.#last = result.catch(() => {});
    return result;
  }

  async return(): Promise<IteratorResult<T>> {
    this.#finish();
    this.#stop({});
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #next(): Promise<IteratorResult<T>> {
    if (this.#done) return { done: true, value: undefined };
    try {
      throwIfAborted(this.#source.signal);
      return await this.#found();
    } catch (error) {
      this.#finish();
      throw error;
    }
  }

  /** No race against one lasting promise: it would keep everything that was ever found, for as long as the iterator lives. */
  #found(): Promise<IteratorResult<T>> {
    return new Promise((resolve, reject) => {
      this.#interrupt = () => {
        if (this.#end === undefined) return;
        if ("error" in this.#end) reject(this.#end.error);
        else resolve({ done: true, value: undefined });
      };
      this.#source.next().then((value) => resolve({ done: false, value }), reject);
      this.#interrupt();
    });
  }

  #stop(end: { readonly error?: unknown }): void {
    this.#end ??= end;
    this.#interrupt?.();
  }

  readonly #onAbort = (): void => this.#stop({ error: this.#source.signal?.reason });

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#source.signal?.removeEventListener("abort", this.#onAbort);
    this.#source.close();
  }
}
