import type { Runtime, Timer } from "../../core/index.ts";

/** Reads answered from one look at the clock, if nothing else comes between. */
const readsPerLook = 256;

/**
 * The monotonic clock, cheap to read: looks at it once per `resolution` milliseconds of running event loop, and, within one synchronous stretch,
 * once per 256 reads. With a resolution of 0 it looks each time.
 */
export class CoarseClock {
  readonly #runtime: Pick<Runtime, "clock" | "timers">;
  readonly #resolution: number;
  #now = 0;
  #left = 0;
  #timer: Timer | undefined;

  constructor(runtime: Pick<Runtime, "clock" | "timers">, resolution: number) {
    this.#runtime = runtime;
    this.#resolution = resolution;
  }

  read(): number {
    if (this.#left === 0) return this.#look();
    this.#left--;
    return this.#now;
  }

  #look(): number {
    this.#now = this.#runtime.clock.monotonic();
    if (this.#resolution === 0) return this.#now;
    this.#left = readsPerLook - 1;
    this.#timer ??= this.#runtime.timers.after(this.#resolution, this.#forget, { ref: false });
    return this.#now;
  }

  readonly #forget = (): void => {
    this.#timer = undefined;
    this.#left = 0;
  };
}
