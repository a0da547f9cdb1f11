import type { Runtime } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";

/**
 * What this process knows of the engine's clock, in microseconds: a lower bound, made from the last reading and the time since its arrival. If this
 * process's clock runs fast the bound may come out too high; whoever relies on it has the engine check it.
 */
export class EngineClock {
  readonly #engine: Engine;
  readonly #clock: Runtime["clock"];
  #readUs: number | undefined;
  #readAt = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#clock = engine.runtime.clock;
  }

  /** The engine's clock was at `us` some time before now. */
  observe(us: number): void {
    this.#readUs = us;
    this.#readAt = this.#clock.monotonic();
  }

  /** A lower bound of the engine's clock, whole microseconds; asks the engine if it never answered before. */
  estimate(signal?: AbortSignal): number | Promise<number> {
    if (this.#readUs === undefined) return this.read(signal);
    return this.#readUs + Math.floor((this.#clock.monotonic() - this.#readAt) * 1000);
  }

  /** The engine's clock, asked. */
  async read(signal?: AbortSignal): Promise<number> {
    const us = Math.floor((await this.#engine.now(signal ? { signal } : {})) * 1000);
    this.observe(us);
    return us;
  }
}
