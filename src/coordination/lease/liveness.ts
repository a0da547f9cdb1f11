import { fullJitter, isAshlarError, type Runtime, sleep } from "../../core/index.ts";
import type { Leases } from "./leases.ts";

/** `unknown` until it was found out once. */
export type LeaseStatus = "unknown" | "alive" | "dead";

/** Which of many leases have ended, known without asking. Ids are never used again, so what has ended stays so. Waits out an engine that is away. */
export class Liveness {
  readonly #leases: Leases;
  readonly #runtime: Runtime;
  readonly #onChange: () => void;
  readonly #watched = new Map<string, { status: LeaseStatus; readonly controller: AbortController }>();

  /** @param onChange called after each change of a status */
  constructor(leases: Leases, runtime: Runtime, onChange: () => void) {
    this.#leases = leases;
    this.#runtime = runtime;
    this.#onChange = onChange;
  }

  statusOf(lease: string): LeaseStatus {
    return this.#watched.get(lease)?.status ?? "unknown";
  }

  /** Whether it is not known to have ended. */
  lives(lease: string): boolean {
    return this.statusOf(lease) !== "dead";
  }

  /** Whether of all leases it has been found out once how they are. */
  get known(): boolean {
    for (const { status } of this.#watched.values()) if (status === "unknown") return false;
    return true;
  }

  /** Watches these, and no others any more. New ones among `fresh` were alive a moment ago. */
  watch(leases: ReadonlySet<string>, fresh: ReadonlySet<string> = new Set()): void {
    for (const [lease, { controller }] of this.#watched) {
      if (leases.has(lease)) continue;
      this.#watched.delete(lease);
      controller.abort();
    }
    for (const lease of leases)
      if (!this.#watched.has(lease)) void this.#follow(lease, fresh.has(lease) ? "alive" : "unknown");
  }

  close(): void {
    this.watch(new Set());
  }

  async #follow(lease: string, status: LeaseStatus): Promise<void> {
    const controller = new AbortController();
    const watched = { status, controller };
    this.#watched.set(lease, watched);
    const { signal } = controller;
    const tell = (found: LeaseStatus): void => {
      if (signal.aborted || watched.status === found) return;
      watched.status = found;
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
