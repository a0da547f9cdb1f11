import type { Runtime, Timer } from "../core/index.ts";
import type { Driver } from "./driver.ts";

/**
 * Removes expired entries. Reads never see them; sweeping gives back their space and turns expiry into a change that watchers hear of: so
 * it runs at the instant at which something watched expires, every half second while anyone watches (where the driver knows what expires
 * next, just then), and every half minute otherwise.
 */
export class Sweeper {
  readonly #driver: Driver;
  readonly #runtime: Runtime;
  readonly #watched: () => boolean;
  #timer: Timer | undefined;
  /** When the timer fires, on the monotonic clock. */
  #due = Number.POSITIVE_INFINITY;
  #ref = false;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(driver: Driver, runtime: Runtime, watched: () => boolean) {
    this.#driver = driver;
    this.#runtime = runtime;
    this.#watched = watched;
  }

  /** Begins the rounds, at a random moment, so that many processes do not sweep at once. */
  start(): void {
    this.soon(idleMs * (0.5 + this.#runtime.random.next() / 2));
  }

  /** Sweeps in `ms` milliseconds at the latest. While anyone watches, the timer keeps the process alive, as an open server would. */
  soon(ms: number): void {
    const now = this.#runtime.clock.monotonic();
    const ref = this.#watched();
    const due = Math.min(this.#due, now + Math.max(ms, leastMs));
    if (this.#closed || (due === this.#due && ref === this.#ref)) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#ref = ref;
    this.#timer = this.#runtime.timers.after(Math.max(0, due - now), () => this.#fire(), { ref });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #fire(): void {
    this.#due = Number.POSITIVE_INFINITY;
    if (this.#closed) return;
    if (this.#running) {
      this.soon(leastMs);
      return;
    }
    this.#running = this.#sweep().finally(() => {
      this.#running = undefined;
    });
  }

  async #sweep(): Promise<void> {
    let rest = this.#watched() ? watchedMs : idleMs;
    try {
      const swept = await this.#driver.sweep(this.#runtime.maybe("sweep: one entry") ? 1 : batch);
      rest = swept >= batch ? leastMs : await this.#rest();
    } catch {
      // An engine that is away has nothing to sweep; the next round tries again, and whoever reads or commits hears of it.
    }
    this.soon(rest);
  }

  /** How long there is nothing to do. */
  async #rest(): Promise<number> {
    if (!this.#watched()) return idleMs;
    if (!this.#driver.nextExpiry) return watchedMs;
    const now = await this.#driver.now();
    return Math.min(idleMs, Math.max(0, this.#driver.nextExpiry() - now));
  }
}

const batch = 1000;
/** Shortest time between two sweeps. */
const leastMs = 20;
const watchedMs = 500;
const idleMs = 30_000;
