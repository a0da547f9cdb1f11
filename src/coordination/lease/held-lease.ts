import { type Key, LeaseLostError, type Runtime, type Timer } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { granted, type LeaseMessage, lost, renewalFailed } from "./channels.ts";
import { leaseKey } from "./keys.ts";

/**
 * By how much the clocks of process and engine may differ in rate: 2 %. The engine's clock runs a lease out after its whole time to live, the process counts that much
 * less, from the moment before it asked, so its own reckoning ends first.
 */
const clockError = 0.02;

/**
 * A lease as its owner knows it.
 *
 * Invariant: while `held`, the engine keeps the entry: `validUntil` is the moment before the latest acknowledged renewal was sent, plus the time to live less the clocks' error.
 */
export class HeldLease {
  readonly id: string;
  readonly ttl: number;
  readonly key: Key;
  readonly #root: Engine;
  readonly #runtime: Runtime;
  readonly #controller = new AbortController();
  #validUntil: number;
  #timer: Timer | undefined;
  #users = 0;
  #ended = false;

  constructor(root: Engine, options: { readonly id: string; readonly ttl: number; readonly sentAt: number }) {
    this.id = options.id;
    this.ttl = options.ttl;
    this.key = leaseKey(options.id);
    this.#root = root;
    this.#runtime = root.runtime;
    this.#validUntil = this.#end(options.sentAt);
    this.#watchTheClock();
    if (granted.hasSubscribers) granted.publish(this.#message());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get held(): boolean {
    if (this.#ended) return false;
    if (this.remaining > 0) return true;
    // A process that was stopped asks before its timers have run.
    this.lose("it was not renewed in time");
    return false;
  }

  get remaining(): number {
    return this.#ended ? 0 : Math.max(0, this.#validUntil - this.#runtime.clock.monotonic());
  }

  get idle(): boolean {
    return this.#users === 0;
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
  }

  guard(tx: Transaction): void {
    if (!this.held) throw this.#error("it was lost before");
    this.#root
      .join(tx)
      .check({ key: this.key, present: true }, { otherwise: () => this.lose("the engine has ended it") });
  }

  /** A renewal that was sent at that moment has been acknowledged. */
  renewed(sentAt: number): void {
    this.#validUntil = Math.max(this.#validUntil, this.#end(sentAt));
  }

  /** The lease is lost for this process, whatever the engine still knows of it. */
  lose(why: string): LeaseLostError {
    const error = this.#error(why);
    if (!this.#ended) {
      if (lost.hasSubscribers) lost.publish({ ...this.#message(), reason: why } satisfies LeaseMessage);
      this.#stop();
      this.#controller.abort(error);
    }
    return error;
  }

  /** A renewal failed. */
  failed(): void {
    if (renewalFailed.hasSubscribers) renewalFailed.publish(this.#message());
  }

  /** Nobody uses it any more: it ends without anybody hearing of a loss. */
  retire(): void {
    this.#stop();
  }

  #message(): LeaseMessage {
    return { lease: this.id, ttl: this.ttl, remaining: this.remaining };
  }

  #stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #end(sentAt: number): number {
    return sentAt + this.ttl * (1 - clockError);
  }

  /** One timer that moves on with each renewal, instead of one for each renewal. */
  #watchTheClock(): void {
    this.#timer = this.#runtime.timers.after(
      Math.max(0, this.#validUntil - this.#runtime.clock.monotonic()),
      () => {
        if (this.remaining > 0) this.#watchTheClock();
        else this.lose("it was not renewed in time");
      },
      { ref: false },
    );
  }

  #error(why: string): LeaseLostError {
    return new LeaseLostError(
      `the lease is lost: ${why}; the process was paused, or cut off from the engine, for longer than the time to live of ${this.ttl} ms`,
      { details: { lease: this.id, ttl: this.ttl } },
    );
  }
}
