import { AsyncLocalStorage } from "node:async_hooks";
import type { Timer } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";

type Schedule = (fn: () => void) => Timer;

const byId = new Map<number, VirtualTimeout>();
let lastId = 0;

/** What `setTimeout`, `setInterval` and `setImmediate` return: a timer of one machine's process, which dies with it. */
export class VirtualTimeout {
  readonly #schedule: Schedule;
  readonly #run: () => void;
  readonly #repeat: boolean;
  #timer: Timer | undefined;
  #closed = false;
  #ref = true;
  #id: number | undefined;

  /** @param repeat as `setInterval` does */
  constructor(schedule: Schedule, run: () => void, repeat: boolean) {
    this.#schedule = schedule;
    this.#run = run;
    this.#repeat = repeat;
    this.#start();
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
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#id !== undefined) byId.delete(this.#id);
    return this;
  }

  [Symbol.toPrimitive](): number {
    if (this.#id === undefined) {
      this.#id = ++lastId;
      byId.set(this.#id, this);
    }
    return this.#id;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #start(): void {
    this.#timer = this.#schedule(() => {
      this.#timer = undefined;
      try {
        this.#run();
      } finally {
        if (this.#repeat && !this.#closed && !this.#timer) this.#start();
      }
    });
  }
}

/** The timer that somebody kept as a number. */
export function timeoutById(id: unknown): VirtualTimeout | undefined {
  return byId.get(Number(id));
}

/** A delay as Node takes it: what is no number from 1 to 2^31 - 1 is 1 ms. */
export function delayOf(given: unknown): number {
  const delay = Number(given);
  return delay >= 1 && delay <= 2 ** 31 - 1 ? Math.trunc(delay) : 1;
}

/** Runs `fn` as the incarnation, with what its caller's own `AsyncLocalStorage`s hold. */
export function startTimeout(incarnation: Incarnation, delay: unknown, fn: () => void, repeat = false): VirtualTimeout {
  const context = AsyncLocalStorage.snapshot();
  const ms = delayOf(delay);
  const { timers } = incarnation.runtime;
  return new VirtualTimeout(
    (run) => timers.after(ms, run),
    () => context(fn),
    repeat,
  );
}

export function startImmediate(incarnation: Incarnation, fn: () => void): VirtualTimeout {
  const context = AsyncLocalStorage.snapshot();
  const { timers } = incarnation.runtime;
  return new VirtualTimeout(
    (run) => timers.immediate(run),
    () => context(fn),
    false,
  );
}
