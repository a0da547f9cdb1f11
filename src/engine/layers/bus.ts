import {
  ClosedError,
  decodeKey,
  decodeValue,
  encodeKey,
  encodeValue,
  invalidArgument,
  limitExceeded,
  throwIfAborted,
} from "../../core/index.ts";
import type { Bus, BusMessage, BusSubscription, Limits } from "../contract.ts";
import type { BusDriver, RawSubscription } from "../driver.ts";
import { pull } from "../pull.ts";
import { assertPattern, assertSubject, matcher } from "./subjects.ts";

/** The messages of all namespaces of one store: one subscription of the driver, open while anyone listens. */
export class BusHub {
  readonly #driver: BusDriver;
  readonly #listeners = new Set<(subject: Uint8Array, payload: Uint8Array) => void>();
  readonly #subscriptions = new Set<Subscription<unknown>>();
  #live: Promise<RawSubscription> | undefined;

  constructor(driver: BusDriver) {
    this.#driver = driver;
  }

  publish(subject: Uint8Array, payload: Uint8Array): Promise<void> {
    return this.#driver.publish(subject, payload);
  }

  /** Resolves once every later message will be delivered. */
  async listen(listener: (subject: Uint8Array, payload: Uint8Array) => void): Promise<void> {
    this.#listeners.add(listener);
    this.#live ??= this.#driver.subscribe((subject, payload) => {
      for (const deliver of this.#listeners) deliver(subject, payload);
    });
    try {
      await this.#live;
    } catch (error) {
      this.#live = undefined;
      this.#listeners.delete(listener);
      throw error;
    }
  }

  async unlisten(listener: (subject: Uint8Array, payload: Uint8Array) => void): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    const live = this.#live;
    this.#live = undefined;
    await (await live)?.close();
  }

  add(subscription: Subscription<unknown>): void {
    this.#subscriptions.add(subscription);
  }

  remove(subscription: Subscription<unknown>): void {
    this.#subscriptions.delete(subscription);
  }

  /** Ends all subscriptions: their consumers meet `ClosedError`. */
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions)
      subscription.fail(new ClosedError("the engine was closed while subscribed"));
    await Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.close()));
  }
}

/** The bus of one namespace. A message travels under the key of its namespace and subject. */
export function createBus(options: {
  readonly hub: BusHub;
  readonly prefix: Uint8Array;
  readonly limits: Limits;
  readonly assertOpen: () => void;
}): Bus {
  const { hub, prefix, limits, assertOpen } = options;
  return {
    async publish(subject, payload, { signal } = {}) {
      assertOpen();
      throwIfAborted(signal);
      assertSubject(subject);
      const bytes = encodeValue(payload, "payload");
      if (bytes.length > limits.messageBytes)
        throw limitExceeded("payload", bytes.length, limits.messageBytes, "bytes encoded");
      await hub.publish(encodeKey([subject], prefix), bytes);
    },
    async subscribe<V>(
      pattern: string,
      { capacity = 1024, signal }: { readonly capacity?: number; readonly signal?: AbortSignal } = {},
    ) {
      assertOpen();
      throwIfAborted(signal);
      assertPattern(pattern);
      if (!Number.isSafeInteger(capacity) || capacity < 1)
        throw invalidArgument("capacity", capacity, "a whole number of at least 1");
      const subscription = new Subscription<V>(hub, prefix, matcher(pattern), capacity, signal);
      await subscription.open();
      return subscription;
    },
  };
}

class Subscription<V> implements BusSubscription<V> {
  readonly #hub: BusHub;
  readonly #prefix: Uint8Array;
  readonly #matches: (subject: string) => boolean;
  readonly #capacity: number;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: BusMessage<V>[] = [];
  #dropped = 0;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    hub: BusHub,
    prefix: Uint8Array,
    matches: (subject: string) => boolean,
    capacity: number,
    signal: AbortSignal | undefined,
  ) {
    this.#hub = hub;
    this.#prefix = prefix;
    this.#matches = matches;
    this.#capacity = capacity;
    this.#signal = signal;
  }

  get dropped(): number {
    return this.#dropped;
  }

  async open(): Promise<void> {
    this.#hub.add(this);
    try {
      await this.#hub.listen(this.#deliver);
    } catch (error) {
      this.#hub.remove(this);
      throw error;
    }
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake?.();
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#hub.remove(this);
      this.fail(new ClosedError("the subscription is closed"));
      await this.#hub.unlisten(this.#deliver);
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Messages as they come; those that wait are still delivered after a failure. Ending the iteration leaves the subscription open. */
  [Symbol.asyncIterator](): AsyncIterator<BusMessage<V>> {
    return pull({ next: () => this.#next(), close: () => {}, signal: this.#signal });
  }

  async #next(): Promise<BusMessage<V>> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message) return message;
      if (this.#error) throw this.#error;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  readonly #deliver = (key: Uint8Array, payload: Uint8Array): void => {
    const subject = this.#subjectOf(key);
    if (subject === undefined || !this.#matches(subject) || this.#error) return;
    if (this.#waiting.length >= this.#capacity) {
      this.#waiting.shift();
      this.#dropped++;
    }
    this.#waiting.push({ subject, payload: decodeValue(payload) as V });
    this.#wake?.();
  };

  /** The subject if the message is of this namespace, not of one below. */
  #subjectOf(key: Uint8Array): string | undefined {
    const { length } = this.#prefix;
    if (Buffer.compare(key.subarray(0, length), this.#prefix) !== 0) return undefined;
    const parts = decodeKey(key, length);
    return parts.length === 1 && typeof parts[0] === "string" ? parts[0] : undefined;
  }
}
