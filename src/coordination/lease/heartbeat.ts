import { fullJitter, type Runtime, type Timer } from "../../core/index.ts";
import type { Engine, Mutation } from "../../engine/index.ts";
import type { HeldLease } from "./held-lease.ts";

/** Renewals that one commit carries at most: a check and a write each. */
const perCommit = 40;

/**
 * Renews leases of a process: those that are due go into one commit. A lease is renewed when a third of its time has passed, so that two
 * renewals may fail before it is lost.
 */
export class Heartbeat {
  readonly #root: Engine;
  readonly #runtime: Runtime;
  readonly #leases: ReadonlySet<HeldLease>;
  /** Called with a lease that nobody uses when it would be renewed. */
  readonly #retire: (lease: HeldLease) => void;
  #timer: Timer | undefined;
  #beating: Promise<void> | undefined;
  #failures = 0;
  #closed = false;

  constructor(root: Engine, leases: ReadonlySet<HeldLease>, retire: (lease: HeldLease) => void) {
    this.#root = root;
    this.#runtime = root.runtime;
    this.#leases = leases;
    this.#retire = retire;
  }

  /** Sets the timer anew: a lease has come or gone. */
  schedule(): void {
    this.#timer?.cancel();
    if (this.#closed || this.#leases.size === 0 || this.#beating) return;
    const delay = Math.min(...[...this.#leases].map((lease) => Math.max(0, lease.remaining - (lease.ttl * 2) / 3)));
    const shortest = Math.min(...[...this.#leases].map(({ ttl }) => ttl));
    // After a failure soon again, with jitter, but not in a storm.
    const pause =
      this.#failures === 0
        ? 0
        : shortest / 50 + fullJitter(this.#runtime, this.#failures, { base: shortest / 50, cap: shortest / 6 });
    this.#timer = this.#runtime.timers.after(Math.max(delay, pause), () => this.#beat(), { ref: false });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#beating;
  }

  #beat(): void {
    this.#beating = this.#renewAll().finally(() => {
      this.#beating = undefined;
      this.schedule();
    });
  }

  async #renewAll(): Promise<void> {
    const due: HeldLease[] = [];
    for (const lease of this.#leases) {
      if (!lease.held || lease.remaining > (lease.ttl * 3) / 4) continue;
      if (lease.idle) this.#retire(lease);
      else due.push(lease);
    }
    const rounds: Promise<boolean>[] = [];
    for (let i = 0; i < due.length; i += perCommit) rounds.push(this.#renew(due.slice(i, i + perCommit)));
    const well = (await Promise.all(rounds)).every((renewed) => renewed);
    this.#failures = well ? 0 : this.#failures + 1;
  }

  async #renew(leases: readonly HeldLease[]): Promise<boolean> {
    const left = new Set(leases);
    while (left.size > 0) {
      const batch = [...left];
      const sentAt = this.#runtime.clock.monotonic();
      const shortest = Math.min(...batch.map(({ ttl }) => ttl));
      const controller = new AbortController();
      // A call that hangs must not keep the next one from being tried.
      const timer = this.#runtime.timers.after(shortest / 4, () => controller.abort(), { ref: false });
      try {
        const outcome = await this.#root.kv.tryCommit(
          {
            checks: batch.map(({ key }) => ({ key, present: true })),
            mutations: batch.map(({ key, ttl }): Mutation => ({ set: key, value: ttl, ttl })),
          },
          { signal: controller.signal },
        );
        if (outcome.ok) {
          for (const lease of batch) lease.renewed(sentAt);
          return true;
        }
        // A lease that has run out stays so; the others are renewed without it.
        const gone = outcome.refusal.reason === "check" ? batch[outcome.refusal.check] : undefined;
        if (!gone) return false;
        gone.lose("the engine has ended it");
        left.delete(gone);
      } catch {
        // Each lease counts the time by itself.
        for (const lease of batch) lease.failed();
        return false;
      } finally {
        timer.cancel();
      }
    }
    return true;
  }
}
