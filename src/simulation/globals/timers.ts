import { AsyncLocalStorage } from "node:async_hooks";
import timers from "node:timers";
import timersPromises from "node:timers/promises";
import { promisify } from "node:util";
import type { Timer } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Identity } from "./identity.ts";

type Callback = (...given: unknown[]) => void;

const longestDelay = 2 ** 31 - 1;

/** As Node has it: whole milliseconds from 1 on; what makes no sense is 1. */
function toDelay(ms: unknown): number {
  const given = Number(ms);
  return given >= 1 && given <= longestDelay ? Math.trunc(given) : 1;
}

/** What `setTimeout` and `setInterval` return. */
class VirtualTimeout {
  readonly #owner: Incarnation;
  readonly #run: () => void;
  readonly #ms: number;
  readonly #repeats: boolean;
  #timer: Timer | undefined;
  #closed = false;
  #ref = true;

  constructor(owner: Incarnation, callback: Callback, ms: unknown, repeats: boolean, given: unknown[]) {
    this.#owner = owner;
    // In the asynchronous context of whoever asked for it.
    const resume = AsyncLocalStorage.snapshot();
    this.#run = () => resume(callback, ...given);
    this.#ms = toDelay(ms);
    this.#repeats = repeats;
    this.#start();
  }

  #start(): void {
    this.#timer = this.#owner.runtime.timers.after(this.#ms, () => {
      this.#timer = undefined;
      if (this.#repeats) this.#start();
      this.#run();
    });
  }

  ref(): this {
    this.#ref = true;
    return this;
  }

  unref(): this {
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  refresh(): this {
    if (this.#closed) return this;
    this.#timer?.cancel();
    this.#start();
    return this;
  }

  close(): this {
    this.#closed = true;
    numbered.delete(this.#number);
    this.#timer?.cancel();
    this.#timer = undefined;
    return this;
  }

  [Symbol.toPrimitive](): number {
    numbered.set(this.#number, this);
    return this.#number;
  }
  readonly #number = ++lastNumber;

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Timers that were turned into numbers, by which they may be cleared. */
const numbered = new Map<number, VirtualTimeout>();
let lastNumber = 0;

/** What `setImmediate` returns. */
class VirtualImmediate {
  readonly #timer: Timer;

  constructor(owner: Incarnation, callback: Callback, given: unknown[]) {
    const resume = AsyncLocalStorage.snapshot();
    this.#timer = owner.runtime.timers.immediate(() => resume(callback, ...given));
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  cancel(): void {
    this.#timer.cancel();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}

/** The timer functions of the globals, of `node:timers` and of `node:timers/promises`, and `AbortSignal.timeout`. */
export function patchTimers(identity: Identity): void {
  const real = { ...timers };
  /**
   * undici keeps one timer for all its slow timeouts, whoever they are for: it must outlive the machine that happened to be the first to
   * need it.
   */
  const ownerOf = (callback: Callback): Incarnation | undefined =>
    callback.name === "onTick" && new Error().stack?.includes("internal/deps/undici")
      ? identity.outside
      : identity.current;
  const assertCallback = (callback: unknown): void => {
    if (typeof callback !== "function")
      throw Object.assign(new TypeError('The "callback" argument must be of type function.'), {
        code: "ERR_INVALID_ARG_TYPE",
      });
  };
  const start =
    (repeats: boolean, realOne: (...given: never[]) => unknown) =>
    (callback: Callback, ms?: unknown, ...given: unknown[]): unknown => {
      assertCallback(callback);
      const owner = ownerOf(callback);
      if (!owner) return realOne(...([callback, ms, ...given] as never[]));
      return new VirtualTimeout(owner, callback, ms, repeats, given);
    };
  const setTimeout = start(false, real.setTimeout);
  const setInterval = start(true, real.setInterval);
  const setImmediate = (callback: Callback, ...given: unknown[]): unknown => {
    assertCallback(callback);
    const owner = identity.current;
    return owner ? new VirtualImmediate(owner, callback, given) : real.setImmediate(callback, ...given);
  };
  const clear =
    (realOne: (timer: never) => void) =>
    (timer: unknown): void => {
      const found = typeof timer === "number" || typeof timer === "string" ? numbered.get(Number(timer)) : timer;
      if (found instanceof VirtualTimeout) found.close();
      else if (found instanceof VirtualImmediate) found.cancel();
      else realOne(timer as never);
    };
  const promises = promisesOver(identity);
  const custom = { [promisify.custom]: { configurable: true } };
  Object.defineProperty(setTimeout, promisify.custom, { ...custom, value: promises.setTimeout });
  Object.defineProperty(setImmediate, promisify.custom, { ...custom, value: promises.setImmediate });
  const patched = {
    setTimeout,
    setInterval,
    setImmediate,
    clearTimeout: clear(real.clearTimeout),
    clearInterval: clear(real.clearInterval),
    clearImmediate: clear(real.clearImmediate),
  };
  Object.assign(globalThis, patched);
  Object.assign(timers, patched);
  Object.assign(timersPromises, promises);
  const realAbort = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => {
    const owner = identity.current;
    if (!owner) return realAbort(ms);
    const controller = new AbortController();
    owner.runtime.timers.after(ms, () => {
      controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    });
    return controller.signal;
  };
}

interface Waiting {
  readonly signal?: AbortSignal;
  readonly ref?: boolean;
}

/** `node:timers/promises`. */
function promisesOver(identity: Identity) {
  const real = { ...timersPromises };
  const wait = <T>(begin: (run: () => void) => Timer, value: T, { signal }: Waiting): Promise<T> => {
    const aborted = () =>
      Object.assign(new Error("The operation was aborted", { cause: signal?.reason }), {
        name: "AbortError",
        code: "ABORT_ERR",
      });
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted());
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(aborted());
      };
      const timer = begin(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve(value);
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  };
  const setTimeout = <T = void>(ms?: number, value?: T, options: Waiting = {}): Promise<T> => {
    const owner = identity.current;
    if (!owner) return real.setTimeout(ms, value as T, options);
    return wait((run) => owner.runtime.timers.after(toDelay(ms), run), value as T, options);
  };
  const setImmediate = <T = void>(value?: T, options: Waiting = {}): Promise<T> => {
    const owner = identity.current;
    if (!owner) return real.setImmediate(value as T, options);
    return wait((run) => owner.runtime.timers.immediate(run), value as T, options);
  };
  const setInterval = <T = void>(ms?: number, value?: T, options: Waiting = {}): AsyncIterable<T> => {
    const owner = identity.current;
    return owner ? ticks(owner, toDelay(ms), value as T, options) : real.setInterval(ms, value as T, options);
  };
  const scheduler = {
    wait: (ms: number, options?: Waiting) => setTimeout(ms, undefined, options),
    yield: () => setImmediate(),
  };
  return { setTimeout, setImmediate, setInterval, scheduler };
}

/** At equal distances, however long the consumer takes; ticks that it has not taken wait for it, as Node has it. */
async function* ticks<T>(owner: Incarnation, ms: number, value: T, { signal }: Waiting): AsyncGenerator<T> {
  let pending = 0;
  let wake = (): void => {};
  const onAbort = (): void => wake();
  const tick = (): void => {
    pending++;
    wake();
  };
  const timer = new VirtualTimeout(owner, tick, ms, true, []);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      if (signal?.aborted)
        throw Object.assign(new Error("The operation was aborted", { cause: signal.reason }), {
          name: "AbortError",
          code: "ABORT_ERR",
        });
      if (pending === 0) await new Promise<void>((resolve) => (wake = resolve));
      for (; pending > 0; pending--) yield value;
    }
  } finally {
    timer.close();
    signal?.removeEventListener("abort", onAbort);
  }
}
