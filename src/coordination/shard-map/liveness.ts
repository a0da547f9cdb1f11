import { fullJitter, isAshlarError, type Runtime, sleep } from "../../core/index.ts";
import type { Leases } from "../lease/index.ts";

/** Which of the leases that a map names have ended. Ids are never used again, so what has ended stays so. */
export class Liveness {
  readonly #leases: Leases;
  readonly #runtime: Runtime;
  readonly #onChange: () => void;
  readonly #watched = new Map<string, { status: "unknown" | "alive" | "dead"; readonly controller: AbortController }>();

  constructor(leases: Leases, runtime: Runtime, onChange: () => void) {
    this.#leases = leases;
    this.#runtime = runtime;
    this.#onChange = onChange;
  }

  /** Whether it is not known to have ended. */
  lives(lease: string): boolean {
    return this.#watched.get(lease)?.status !== "dead";
  }

  /** Whether of all leases it has been found out once how they are. */
  get known(): boolean {
    return [...this.#watched.values()].every(({ status }) => status !== "unknown");
  }

  /** Watches these, and no others any more. */
  watch(leases: ReadonlySet<string>): void {
    for (const [lease, { controller }] of this.#watched) {
      if (leases.has(lease)) continue;
      this.#watched.delete(lease);
      controller.abort();
    }
    for (const lease of leases) if (!this.#watched.has(lease)) void this.#follow(lease);
  }

  close(): void {
    this.watch(new Set());
  }

  async #follow(lease: string): Promise<void> {
    const controller = new AbortController();
    const watched: { status: "unknown" | "alive" | "dead"; readonly controller: AbortController } = {
      status: "unknown",
      controller,
    };
    this.#watched.set(lease, watched);
    const { signal } = controller;
    const tell = (status: "alive" | "dead"): void => {
      if (signal.aborted) return;
      watched.status = status;
      this.#onChange();
    };
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        if (await this.#leases.lives(lease, { signal })) {
          tell("alive");
          await this.#leases.gone(lease, { signal });
        }
        tell("dead");
        return;
      } catch (error) {
        if (signal.aborted || !isAshlarError(error) || !error.retryable) return;
      }
      const pause = fullJitter(this.#runtime, failures, { base: 10, cap: 1000 });
      await sleep(this.#runtime, pause, { signal, ref: false }).catch(() => {});
    }
  }
}
