import type { Runtime } from "../../core/index.ts";
import type { Driver } from "../driver.ts";

/**
 * The engine's clock, cheap enough to ask for each commit. A clock of this process or machine is simply read. A server's clock is estimated from the
 * monotonic clock and an offset that is measured again every 30 seconds: right to about half a round trip to the server plus what the two
 * clocks drift apart, or the server's clock is set, in that time.
 */
export class EngineClock {
  readonly #driver: Pick<Driver, "now" | "guarantees">;
  readonly #clock: Runtime["clock"];
  /** What to add to the monotonic clock, and when that was measured. */
  #offset: { readonly ms: number; readonly measured: number } | undefined;
  #measuring: Promise<number> | undefined;

  constructor(driver: Pick<Driver, "now" | "guarantees">, runtime: Pick<Runtime, "clock">) {
    this.#driver = driver;
    this.#clock = runtime.clock;
  }

  /**
   * Whole milliseconds since the epoch.
   * @throws UnavailableError the server could not be asked for the first time
   */
  async now(): Promise<number> {
    if (this.#driver.guarantees.clock !== "server") return Math.floor(await this.#driver.now());
    const known = this.#offset;
    if (!known) {
      const ms = await this.#measure();
      return Math.floor(this.#clock.monotonic() + ms);
    }
    if (this.#clock.monotonic() - known.measured > validMs) {
      // Whoever asks now makes do with the old offset; a failure leaves it in place until the next question.
      this.#measure().catch(() => {});
    }
    return Math.floor(this.#clock.monotonic() + known.ms);
  }

  #measure(): Promise<number> {
    this.#measuring ??= this.#ask().finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #ask(): Promise<number> {
    const asked = this.#clock.monotonic();
    const server = await this.#driver.now();
    const answered = this.#clock.monotonic();
    const ms = server - (asked + answered) / 2;
    this.#offset = { ms, measured: answered };
    return ms;
  }
}

const validMs = 30_000;
