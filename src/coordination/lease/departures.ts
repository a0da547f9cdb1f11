import { raceAbort } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { leaseKey } from "./keys.ts";
import { untilAbsent } from "./waiting.ts";

/** Waits for the end of other processes' leases: one watch for each lease, however many wait for it. */
export class Departures {
  readonly #root: Engine;
  readonly #watched = new Map<
    string,
    { readonly gone: Promise<void>; readonly controller: AbortController; waiting: number }
  >();

  constructor(root: Engine) {
    this.#root = root;
  }

  /** Resolves when the lease has ended; rejects with the signal's reason. */
  async gone(id: string, signal: AbortSignal): Promise<void> {
    let watched = this.#watched.get(id);
    if (!watched) {
      const controller = new AbortController();
      watched = { gone: untilAbsent(this.#root, leaseKey(id), controller.signal), controller, waiting: 0 };
      watched.gone.catch(() => {});
      this.#watched.set(id, watched);
    }
    watched.waiting++;
    try {
      await raceAbort(watched.gone, signal);
    } finally {
      if (--watched.waiting === 0) {
        if (this.#watched.get(id) === watched) this.#watched.delete(id);
        watched.controller.abort();
      }
    }
  }

  close(): void {
    for (const { controller } of this.#watched.values()) controller.abort();
    this.#watched.clear();
  }
}
