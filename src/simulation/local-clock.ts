import type { Clock } from "../core/index.ts";

/** Where wall clocks begin: 2025-01-01T00:00:00Z. */
export const simulationEpoch = Date.UTC(2025, 0, 1);

/** The clocks of one machine: a quartz that runs at its own rate, and a wall clock that somebody sets. */
export class LocalClock implements Clock {
  /** Local milliseconds in a true one. */
  readonly rate: number;
  readonly #trueNow: () => number;
  #offset: number;

  constructor(trueNow: () => number, options: { readonly rate?: number; readonly offset?: number } = {}) {
    this.#trueNow = trueNow;
    this.rate = options.rate ?? 1;
    this.#offset = options.offset ?? 0;
  }

  now(): number {
    return simulationEpoch + this.#trueNow() * this.rate + this.#offset;
  }

  monotonic(): number {
    return this.#trueNow() * this.rate;
  }

  /** Sets the wall clock forward, or back. */
  jump(ms: number): void {
    this.#offset += ms;
  }
}
