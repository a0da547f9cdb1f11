import timers from "node:timers";
import { promisify } from "node:util";
import type { Incarnation } from "../incarnation.ts";
import { currentIncarnation, worldIncarnation } from "./identity.ts";
import { named, replace } from "./patch.ts";
import { patchTimerPromises } from "./timer-promises.ts";
import { startImmediate, startTimeout, timeoutById, VirtualTimeout } from "./timeout.ts";

type Callback = (...args: unknown[]) => void;

/** Puts the timers of the global object and of `node:timers` on virtual time. */
export function patchTimers(): void {
  const promises = patchTimerPromises();
  const { setTimeout: realTimeout, setInterval: realInterval, setImmediate: realImmediate } = globalThis;
  const setTimeout = (fn: Callback, delay?: number, ...args: unknown[]): unknown => {
    const owner = timerOwner(fn, delay);
    if (!owner) return realTimeout(fn, delay, ...args);
    return startTimeout(owner, delay, call("setTimeout", fn, args));
  };
  const setInterval = (fn: Callback, delay?: number, ...args: unknown[]): unknown => {
    const owner = currentIncarnation();
    if (!owner) return realInterval(fn, delay, ...args);
    return startTimeout(owner, delay, call("setInterval", fn, args), true);
  };
  const setImmediate = (fn: Callback, ...args: unknown[]): unknown => {
    const owner = currentIncarnation();
    if (!owner) return realImmediate(fn, ...args);
    return startImmediate(owner, call("setImmediate", fn, args));
  };
  define(named("setTimeout", setTimeout), promises.setTimeout);
  define(named("setInterval", setInterval), undefined);
  define(named("setImmediate", setImmediate), promises.setImmediate);
  patchClears();
  patchAbortTimeout();
}

function define(fn: (...args: never[]) => unknown, promise: unknown): void {
  if (promise) Object.defineProperty(fn, promisify.custom, { value: promise, enumerable: true });
  replace(globalThis, fn.name, fn);
  replace(timers, fn.name, fn);
}

function patchClears(): void {
  for (const name of ["clearTimeout", "clearInterval", "clearImmediate"] as const) {
    const real = globalThis[name] as (timer: unknown) => void;
    const clear = (timer: unknown): void => {
      const virtual = timer instanceof VirtualTimeout ? timer : timeoutById(timer);
      if (virtual) virtual.close();
      else real(timer);
    };
    define(named(name, clear), undefined);
  }
}

function call(name: string, fn: Callback, args: readonly unknown[]): () => void {
  if (typeof fn !== "function") throw new TypeError(`${name}: the callback must be a function, given ${String(fn)}`);
  return () => fn(...args);
}

/**
 * The clock that undici's module ticks for all its connections is nobody's in particular: were it that of the machine that needed it first, it would stop for
 * all others when that machine crashes.
 */
function timerOwner(fn: Callback, delay: number | undefined): Incarnation | undefined {
  const current = currentIncarnation();
  if (current && delay === undiciTick && typeof fn === "function" && fn.name === "onTick")
    return worldIncarnation() ?? current;
  return current;
}

/** `TICK_MS` of undici's lib/util/timers.js. */
const undiciTick = 499;

function patchAbortTimeout(): void {
  const real = AbortSignal.timeout.bind(AbortSignal);
  replace(AbortSignal, "timeout", (ms: number) => {
    const incarnation = currentIncarnation();
    if (!incarnation) return real(ms);
    const controller = new AbortController();
    const elapsed = (): void =>
      controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    startTimeout(incarnation, ms, elapsed);
    return controller.signal;
  });
}
