import type { Runtime } from "../core/index.ts";
import type { Verdict } from "./verdict.ts";

interface Remembered {
  readonly verdict: Verdict;
  readonly cost: number;
  /** When it was refused at the earliest. */
  readonly since: number;
  readonly until: number;
}

const mostRemembered = 10_000;

/**
 * Refusals that still hold: until `retryAfterMs` has passed nothing frees up, so the same take or a larger one of the same key is refused without asking the
 * engine. Only a refund or a reset could change that; those of this process are seen at once, those of others after `maxMs`.
 */
export class Refusals {
  readonly #clock: Runtime["clock"];
  readonly #maxMs: number;
  readonly #byKey = new Map<string, Remembered>();

  constructor(clock: Runtime["clock"], maxMs: number) {
    this.#clock = clock;
    this.#maxMs = maxMs;
  }

  /** @param since when the take was sent: the refusal is not older, so what is counted from here is over before it frees up */
  remember(key: string, cost: number, verdict: Verdict, since: number): void {
    if (verdict.retryAfterMs === undefined || this.#maxMs === 0) return;
    const until = since + Math.min(verdict.retryAfterMs, this.#maxMs);
    if (until <= this.#clock.monotonic()) return;
    this.#byKey.delete(key);
    if (this.#byKey.size >= mostRemembered) this.#byKey.delete(this.#byKey.keys().next().value as string);
    this.#byKey.set(key, { verdict, cost, since, until });
  }

  /** The verdict on a take that is surely refused. */
  find(key: string, cost: number): Verdict | undefined {
    const known = this.#byKey.get(key);
    if (known === undefined || cost < known.cost) return undefined;
    const now = this.#clock.monotonic();
    if (now >= known.until) {
      this.#byKey.delete(key);
      return undefined;
    }
    const passed = now - known.since;
    return {
      ...known.verdict,
      resetAfterMs: Math.max(0, known.verdict.resetAfterMs - passed),
      retryAfterMs: Math.max(0, (known.verdict.retryAfterMs as number) - passed),
    };
  }

  forget(key: string): void {
    this.#byKey.delete(key);
  }
}
