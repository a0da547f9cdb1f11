import { TimeoutError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/** @throws the signal's reason, if it is aborted */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/**
 * The promise, or a rejection with the signal's reason as soon as it aborts. The promise itself goes on; should it reject
 * after the abort, nobody hears of it. Leaves no listener on the signal.
 */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    promise.then(
      (value) => {
        signal.removeEventListener("abort", onAbort);
        resolve(value);
      },
      (error: unknown) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** A signal that follows others until it is disposed of. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * A signal that aborts when any of the given ones does, with its reason. Disposing takes its listeners off them: unlike
 * `AbortSignal.any`, nothing stays behind on a signal that lives for long. Disposing does not abort.
 */
export function linkSignals(...signals: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const unlink = follow(controller, signals);
  return { signal: controller.signal, [Symbol.dispose]: unlink };
}

function follow(controller: AbortController, signals: readonly (AbortSignal | undefined)[]): () => void {
  const present = signals.filter((signal) => signal !== undefined);
  const onAbort = (event: Event): void => stop((event.target as AbortSignal).reason);
  const unlink = (): void => {
    for (const signal of present) signal.removeEventListener("abort", onAbort);
  };
  function stop(reason: unknown): void {
    unlink();
    controller.abort(reason);
  }
  for (const signal of present) signal.addEventListener("abort", onAbort, { once: true });
  const aborted = present.find((signal) => signal.aborted);
  if (aborted !== undefined) stop(aborted.reason);
  return unlink;
}

export interface DeadlineOptions {
  /** The caller's signal, if there is one: its abort is passed on with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now. `Infinity`: no deadline. */
  readonly deadlineMs: number;
  /** What the time was allowed for, for the message: "transact". */
  readonly name: string;
}

/** A signal with a deadline, to be disposed of when the work is done. */
export interface Deadline extends LinkedSignal {
  /** Milliseconds left, never below 0. */
  remaining(): number;
}

/**
 * A signal that aborts when the time is up, with a `TimeoutError`, or when the caller's signal does, with its reason.
 * Disposing cancels the timer and leaves no listener behind; it does not abort.
 */
export function withDeadline(runtime: Pick<Runtime, "clock" | "timers">, options: DeadlineOptions): Deadline {
  const { deadlineMs, name } = options;
  const controller = new AbortController();
  const unlink = follow(controller, [options.signal]);
  const end = runtime.clock.monotonic() + deadlineMs;
  const timer =
    deadlineMs === Number.POSITIVE_INFINITY || controller.signal.aborted
      ? undefined
      : runtime.timers.after(deadlineMs, () => {
          unlink();
          controller.abort(timeout(name, deadlineMs));
        });
  const release = (): void => {
    timer?.cancel();
    unlink();
  };
  controller.signal.addEventListener("abort", release, { once: true });
  return {
    signal: controller.signal,
    remaining: () => Math.max(0, end - runtime.clock.monotonic()),
    [Symbol.dispose]: release,
  };
}

function timeout(name: string, deadlineMs: number): TimeoutError {
  return new TimeoutError(`${name}: not done within ${deadlineMs} ms; allow more time or find out what is slow`, {
    details: { name, deadlineMs },
  });
}
