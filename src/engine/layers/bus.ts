import {
  decodeValue,
  encodeValue,
  invalidArgument,
  limitExceeded,
  raceAbort,
  throwIfAborted,
} from "../../core/index.ts";
import type { Bus, BusMessage, BusSubscription, Limits } from "../contract.ts";
import { pull } from "../pull.ts";
import type { BusHub, BusListener } from "./bus-hub.ts";
import { assertSubject, type Pattern, parsePattern } from "./subjects.ts";

export interface BusOptions {
  readonly hub: BusHub;
  /** The namespace, encoded. */
  readonly prefix: Uint8Array;
  readonly limits: Limits;
  /** @throws ClosedError the store is closed */
  readonly assertOpen: () => void;
}

/** The bus of one namespace. `limits.messageBytes` bounds the encoded payload. */
export function createBus(options: BusOptions): Bus {
  return new BusFace(options);
}

class BusFace implements Bus {
  readonly #options: BusOptions;

  constructor(options: BusOptions) {
    this.#options = options;
  }

  async publish(subject: string, payload: unknown, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { hub, prefix, limits, assertOpen } = this.#options;
    assertOpen();
    assertSubject(subject);
    const bytes = encodeValue(payload, "payload");
    if (bytes.length > limits.messageBytes) {
      throw limitExceeded("payload", bytes.length, limits.messageBytes, "bytes encoded");
    }
    throwIfAborted(options.signal);
    await raceAbort(hub.publish(prefix, subject, bytes), options.signal);
  }

  async subscribe<V>(
    pattern: string,
    options: { readonly capacity?: number; readonly signal?: AbortSignal } = {},
  ): Promise<BusSubscription<V>> {
    const { hub, prefix, assertOpen } = this.#options;
    assertOpen();
    const parsed = parsePattern(pattern);
    const { capacity = defaultCapacity, signal } = options;
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw invalidArgument("capacity", capacity, "a whole number of at least 1");
    }
    throwIfAborted(signal);
    const subscription = new Subscription<V>(prefix, parsed, capacity);
    await subscription.open(hub, signal);
    return subscription;
  }
}

const defaultCapacity = 1024;

/** Messages between the hub and whoever consumes them. Iterators share them: each message goes to one. */
class Subscription<V> implements BusSubscription<V>, BusListener {
  readonly prefix: Uint8Array;
  readonly pattern: Pattern;
  readonly #capacity: number;
  readonly #messages: { readonly subject: string; readonly payload: Uint8Array }[] = [];
  readonly #iterators = new Set<AsyncIterableIterator<BusMessage<V>>>();
  #sleepers: (() => void)[] = [];
  #dropped = 0;
  #end: { readonly error?: unknown } | undefined;
  #leave: (() => Promise<void>) | undefined;
  #closing: Promise<void> | undefined;

  constructor(prefix: Uint8Array, pattern: Pattern, capacity: number) {
    this.prefix = prefix;
    this.pattern = pattern;
    this.#capacity = capacity;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** An abort ends the subscription at any time: consumers meet the reason. */
  async open(hub: BusHub, signal: AbortSignal | undefined): Promise<void> {
    const entering = hub.enter(this);
    try {
      this.#leave = await raceAbort(entering, signal);
    } catch (error) {
      entering.then((leave) => leave()).catch(() => {});
      throw error;
    }
    if (!signal) return;
    const leave = this.#leave;
    const onAbort = (): void => {
      this.#messages.length = 0;
      this.#finish({ error: signal.reason });
      leave().catch(() => {});
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#leave = () => {
      signal.removeEventListener("abort", onAbort);
      return leave();
    };
  }

  deliver(subject: string, payload: Uint8Array): void {
    if (this.#end) return;
    if (this.#messages.length >= this.#capacity) {
      this.#messages.shift();
      this.#dropped++;
    }
    this.#messages.push({ subject, payload });
    this.#wakeAll();
  }

  /** What waits is still handed out, then the error. */
  fail(error: Error): void {
    this.#finish({ error });
  }

  /** Ends the iterations and drops what waits. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Leaving a loop over the messages leaves the subscription open. */
  [Symbol.asyncIterator](): AsyncIterator<BusMessage<V>> {
    const seat = { left: this.#closing !== undefined };
    const iterator = pull({
      next: () => this.#next(seat),
      close: () => {
        seat.left = true;
        this.#iterators.delete(iterator);
        this.#wakeAll();
      },
    });
    this.#iterators.add(iterator);
    if (seat.left) iterator.return?.().catch(() => {});
    return iterator;
  }

  async #close(): Promise<void> {
    this.#messages.length = 0;
    this.#finish({});
    await Promise.all([...this.#iterators].map((iterator) => iterator.return?.()));
    await this.#leave?.();
  }

  /** An iterator that was left takes no message any more, though its call may still be waiting here. */
  async #next(seat: { readonly left: boolean }): Promise<BusMessage<V>> {
    for (;;) {
      if (!seat.left) {
        const message = this.#messages.shift();
        if (message) return { subject: message.subject, payload: decodeValue(message.payload) as V };
        if (this.#end) throw this.#end.error;
      }
      await new Promise<void>((resolve) => void this.#sleepers.push(resolve));
    }
  }

  #finish(end: { readonly error?: unknown }): void {
    this.#end ??= end;
    this.#wakeAll();
  }

  #wakeAll(): void {
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    for (const wake of sleepers) wake();
  }
}
