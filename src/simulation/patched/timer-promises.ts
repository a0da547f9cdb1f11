import promises from "node:timers/promises";
import type { Incarnation } from "../incarnation.ts";
import { currentIncarnation } from "./identity.ts";
import { replace } from "./patch.ts";
import { startImmediate, startTimeout, type VirtualTimeout } from "./timeout.ts";

interface Options {
  readonly signal?: AbortSignal;
}

/** Puts `node:timers/promises` on virtual time. */
export function patchTimerPromises(): { readonly setTimeout: unknown; readonly setImmediate: unknown } {
  const { setTimeout: realTimeout, setImmediate: realImmediate, setInterval: realInterval, scheduler } = promises;
  const realWait = scheduler.wait.bind(scheduler);
  const realYield = scheduler.yield.bind(scheduler);
  const setTimeout = <T>(delay?: number, value?: T, options?: Options): Promise<T | undefined> => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realTimeout(delay, value, options);
    return wait((fn) => startTimeout(incarnation, delay, fn), value, options);
  };
  const setImmediate = <T>(value?: T, options?: Options): Promise<T | undefined> => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realImmediate(value, options);
    return wait((fn) => startImmediate(incarnation, fn), value, options);
  };
  replace(promises, "setTimeout", setTimeout);
  replace(promises, "setImmediate", setImmediate);
  replace(promises, "setInterval", <T>(delay?: number, value?: T, options?: Options): AsyncIterable<T> => {
    const incarnation = currentIncarnation();
    return incarnation
      ? ticks(incarnation, delay, value as T, options)
      : realInterval(delay, value as T, options as never);
  });
  replace(scheduler, "wait", (delay: number, options?: Options) =>
    currentIncarnation() ? setTimeout(delay, undefined, options) : realWait(delay, options as never),
  );
  replace(scheduler, "yield", () => (currentIncarnation() ? setImmediate() : realYield()));
  return { setTimeout, setImmediate };
}

function abortError(signal: AbortSignal): Error {
  const error = new Error("The operation was aborted", { cause: signal.reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}

function wait<T>(
  start: (fn: () => void) => VirtualTimeout,
  value: T,
  options: Options | undefined,
): Promise<T> {
  const signal = options?.signal;
  if (signal?.aborted) return Promise.reject(abortError(signal));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.close();
      if (signal) reject(abortError(signal));
    };
    const timer = start(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve(value);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Ticks that nobody awaits are kept, as Node does. */
async function* ticks<T>(
  incarnation: Incarnation,
  delay: number | undefined,
  value: T,
  options: Options | undefined,
): AsyncGenerator<T, void> {
  const signal = options?.signal;
  if (signal?.aborted) throw abortError(signal);
  let pending = 0;
  let wake = (): void => {};
  const onAbort = (): void => wake();
  const timer = startTimeout(incarnation, delay, () => {
    pending++;
    wake();
  }, true);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      if (signal?.aborted) throw abortError(signal);
      if (pending === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      for (; pending > 0; pending--) yield value;
    }
  } finally {
    timer.close();
    signal?.removeEventListener("abort", onAbort);
  }
}
