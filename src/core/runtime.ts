import { randomFillSync } from "node:crypto";
import { invalidArgument } from "./errors.ts";

/** Two clocks: one to say when, one to say how long. */
export interface Clock {
  /** Wall clock: milliseconds since the epoch, possibly fractional. May be set back by the operating system. */
  now(): number;
  /** Milliseconds since an arbitrary moment, possibly fractional. Never goes back. */
  monotonic(): number;
}

export interface Random {
  /** Uniform in [0, 1). Not for secrets. */
  next(): number;
  /** `n` fresh bytes, unpredictable to others in production. */
  bytes(n: number): Uint8Array;
}

/** Something scheduled. */
export interface Timer {
  /** Prevents it from running. Harmless when repeated and after it ran. */
  cancel(): void;
}

export interface Timers {
  /**
   * Runs `fn` once, `ms` or more milliseconds from now; any delay is exact, however long. `ref: false` lets the
   * process end while the timer waits (default: true).
   * @throws InvalidArgumentError `ms` is NaN or negative
   */
  after(ms: number, fn: () => void, options?: { readonly ref?: boolean }): Timer;
  /** Runs `fn` once, after pending microtasks and the I/O that is ready. */
  immediate(fn: () => void): Timer;
}

/**
 * The seam through which everything in Ashlar takes time and chance: the real world in production, the simulator's
 * world in a simulation. Nothing else in the sources may use the globals.
 */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: Timers;
  /**
   * Whether to take a path that is correct but rare: a batch of one, a cache that is empty, a retry that nobody needed. Always
   * false in production; a simulation says yes now and then, and counts by label. After FoundationDB's BUGGIFY.
   * @param label names the path, such as "group-commit: flush early"
   */
  maybe(label: string): boolean;
}

/** Node keeps delays in a signed 32-bit integer and turns a longer one into 1 ms. */
const LONGEST_NATIVE_DELAY = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #fn: () => void;
  readonly #ref: boolean;
  /** Left after the native timer that is pending. */
  #remaining: number;
  #native: NodeJS.Timeout | undefined;

  constructor(ms: number, fn: () => void, ref: boolean) {
    this.#fn = fn;
    this.#ref = ref;
    this.#remaining = ms;
    this.#wait();
  }

  #wait(): void {
    const delay = Math.min(this.#remaining, LONGEST_NATIVE_DELAY);
    this.#remaining -= delay;
    this.#native = setTimeout(() => this.#elapsed(), delay);
    if (!this.#ref) this.#native.unref();
  }

  #elapsed(): void {
    if (this.#remaining > 0) {
      this.#wait();
      return;
    }
    this.#native = undefined;
    this.#fn();
  }

  cancel(): void {
    clearTimeout(this.#native);
    this.#native = undefined;
  }
}

function after(ms: number, fn: () => void, options?: { readonly ref?: boolean }): Timer {
  if (!(ms >= 0)) throw invalidArgument("ms", ms, "a number of milliseconds, 0 or more");
  // Node rounds a delay down to whole milliseconds and may fire a timer up to 1 ms early by the fractional clock.
  return new SystemTimer(Math.ceil(ms), fn, options?.ref ?? true);
}

function immediate(fn: () => void): Timer {
  const native = setImmediate(fn);
  return { cancel: () => clearImmediate(native) };
}

/** The real world. */
export const systemRuntime: Runtime = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
  },
  random: {
    next: () => Math.random(),
    bytes: (n) => randomFillSync(new Uint8Array(n)),
  },
  timers: { after, immediate },
  maybe: () => false,
};

/**
 * Resolves after `ms` milliseconds. An abort rejects with the signal's reason and cancels the timer.
 * `ref: false` lets the process end meanwhile.
 */
export function sleep(
  runtime: Pick<Runtime, "timers">,
  ms: number,
  options?: { readonly signal?: AbortSignal | undefined; readonly ref?: boolean | undefined },
): Promise<void> {
  const signal = options?.signal;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = runtime.timers.after(
      ms,
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      { ref: options?.ref ?? true },
    );
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
