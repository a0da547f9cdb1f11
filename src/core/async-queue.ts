import { throwIfAborted } from "./abort.ts";
import { invalidArgument } from "./errors.ts";

export interface AsyncQueueOptions {
  /** Items that wait in the queue at most; 1 or more. */
  readonly capacity: number;
  /** Its abort discards what waits and makes the consumer's next call reject with its reason. */
  readonly signal?: AbortSignal | undefined;
}

type Ending = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: unknown };

/**
 * A bounded queue between producers and one consumer, who iterates over it. Items come out in the order in which they went
 * in. After `end` or `fail` the consumer still gets what waits, then the end or the error (once; afterwards: the end).
 * When the consumer leaves (`return`, or `break` from its loop), or the signal aborts, what waits is discarded and
 * producers learn it from `false`.
 */
export class AsyncQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #capacity: number;
  readonly #signal: AbortSignal | undefined;
  readonly #items = new Fifo<T>();
  readonly #consumers = new Fifo<PromiseWithResolvers<IteratorResult<T, undefined>>>();
  /** Invariant: empty unless the queue is full, so nobody overtakes them. */
  readonly #producers = new Fifo<WaitingProducer<T>>();
  #ending: Ending | undefined;

  constructor(options: AsyncQueueOptions) {
    const { capacity, signal } = options;
    if (!(capacity >= 1)) throw invalidArgument("capacity", capacity, "a number of items, 1 or more");
    this.#capacity = capacity;
    this.#signal = signal;
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Items that wait. */
  get size(): number {
    return this.#items.size;
  }

  /** Whether it takes no more items, for whatever reason. */
  get ended(): boolean {
    return this.#ending !== undefined;
  }

  /** Adds the item; `false` if the queue is full or has ended, and then the item is not added. */
  push(item: T): boolean {
    if (this.#ending !== undefined) return false;
    const consumer = this.#consumers.shift();
    if (consumer !== undefined) {
      consumer.resolve({ done: false, value: item });
      return true;
    }
    if (this.#items.size >= this.#capacity) return false;
    this.#items.push(item);
    return true;
  }

  /**
   * Adds the item as soon as there is room, in the order of the calls; `false` if the queue ended first. An abort rejects with the
   * signal's reason, and then the item was not added.
   */
  async pushWait(item: T, options?: { readonly signal?: AbortSignal | undefined }): Promise<boolean> {
    const signal = options?.signal;
    throwIfAborted(signal);
    if (this.push(item)) return true;
    if (this.#ending !== undefined) return false;
    const producer: WaitingProducer<T> = { item, added: Promise.withResolvers<boolean>() };
    const onAbort = (): void => {
      if (this.#producers.remove(producer)) producer.added.reject(signal?.reason);
    };
    this.#producers.push(producer);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await producer.added.promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Takes no more items. Harmless when repeated. */
  end(): void {
    this.#finish({ kind: "done" });
  }

  /** Takes no more items; the consumer meets the error after what waits. Without effect once ended. */
  fail(error: unknown): void {
    this.#finish({ kind: "failed", error });
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#items.size > 0) {
      const value = this.#items.shift() as T;
      this.#admit();
      return { done: false, value };
    }
    const ending = this.#ending;
    if (ending === undefined) {
      const consumer = Promise.withResolvers<IteratorResult<T, undefined>>();
      this.#consumers.push(consumer);
      return consumer.promise;
    }
    if (ending.kind === "done") return { done: true, value: undefined };
    this.#ending = { kind: "done" };
    throw ending.error;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#items.clear();
    this.#finish({ kind: "done" });
    this.#ending = { kind: "done" };
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  readonly #onAbort = (): void => {
    this.#items.clear();
    // An abort overtakes an end that the consumer has not seen yet only in discarding what waits.
    this.fail(this.#signal?.reason);
  };

  #finish(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    for (let producer = this.#producers.shift(); producer !== undefined; producer = this.#producers.shift()) {
      producer.added.resolve(false);
    }
    // Consumers wait only while no items do.
    for (let consumer = this.#consumers.shift(); consumer !== undefined; consumer = this.#consumers.shift()) {
      if (ending.kind === "failed" && this.#ending === ending) {
        this.#ending = { kind: "done" };
        consumer.reject(ending.error);
      } else {
        consumer.resolve({ done: true, value: undefined });
      }
    }
  }

  /** Moves a waiting producer's item in after one was taken out. */
  #admit(): void {
    if (this.#items.size >= this.#capacity) return;
    const producer = this.#producers.shift();
    if (producer === undefined) return;
    this.#items.push(producer.item);
    producer.added.resolve(true);
  }
}

interface WaitingProducer<T> {
  readonly item: T;
  readonly added: PromiseWithResolvers<boolean>;
}

/** First in, first out, in constant time on average. */
class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  remove(item: T): boolean {
    const index = this.#items.indexOf(item, this.#head);
    if (index < 0) return false;
    this.#items.splice(index, 1);
    return true;
  }

  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }
}
