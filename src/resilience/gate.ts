import { OverloadedError, type Runtime } from "../core/index.ts";
import type { CallContext } from "./call.ts";
import { type Expiring, ExpiryQueue } from "./expiry-queue.ts";
import type { AbortListener, Scope } from "./scope.ts";

export interface GateOptions {
  readonly runtime: Runtime;
  readonly name: string;
  /** Calls inside at the same time. */
  readonly limit: number;
  /** Calls that wait outside, in all lanes together. */
  readonly queue: number;
  /** Milliseconds that a call waits at most; `Infinity`: for as long as it takes. */
  readonly queueTimeoutMs: number;
  /** How many classes of calls wait apart; those of a lower number go in first. Default 1. */
  readonly lanes?: number;
  /** Told how long a call has waited when it goes in. */
  readonly onWaited?: (waitedMs: number) => void;
  /** Told of each refusal. */
  readonly onRefused?: (why: string) => void;
}

/**
 * Lets at most `limit` calls in at a time; others wait in a bounded queue, first come, first served within their lane. A newcomer never overtakes who waits in its lane.
 * Invariant: if somebody waits, `active >= limit`.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #lanes: readonly ExpiryQueue<Waiter>[];
  #limit: number;
  #active = 0;
  #waiting = 0;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#limit = options.limit;
    this.#lanes = Array.from({ length: options.lanes ?? 1 }, () => new ExpiryQueue<Waiter>(options.runtime));
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Since when the call has been waiting that has waited longest; `Infinity` if none waits. */
  get oldestSince(): number {
    return Math.min(...this.#lanes.map((lane) => lane.first?.since ?? Number.POSITIVE_INFINITY));
  }

  get limit(): number {
    return this.#limit;
  }

  /** Less than are inside: those stay, and nobody goes in until it is true again. */
  set limit(limit: number) {
    this.#limit = limit;
    this.#admitWaiting();
  }

  /** Goes in if there is room at this moment. Whoever went in must `leave`. */
  tryEnter(): boolean {
    if (this.#active >= this.#limit) return false;
    this.#active++;
    return true;
  }

  /** Resolves once it is in. Rejects with an `OverloadedError` if the queue is full or the wait too long, or with the abort's reason. */
  enter(context: CallContext, lane = 0): Promise<void> {
    if (context.scope?.aborted) return Promise.reject(context.scope.reason);
    if (this.#waiting >= this.#options.queue && !this.#evictBelow(lane))
      return Promise.reject(
        this.refusal(`${this.#active} calls are under way and ${this.#waiting} wait`, "queue full"),
      );
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { runtime, queueTimeoutMs } = this.#options;
    const since = runtime.clock.monotonic();
    const waiter = new Waiter(this, {
      lane,
      since,
      endsAt: since + queueTimeoutMs,
      scope: context.scope,
      resolve,
      reject,
    });
    this.#waiting++;
    this.#lanes[lane]?.push(waiter);
    context.scope?.tell(waiter);
    return promise;
  }

  leave(): void {
    this.#active--;
    if (this.#waiting > 0) this.#admitWaiting();
  }

  /** Refuses everybody who waits in this lane. */
  clearLane(lane: number, why: string): void {
    for (let waiter = this.#lanes[lane]?.shift(); waiter !== undefined; waiter = this.#lanes[lane]?.shift()) {
      this.#waiting--;
      waiter.refuse(this.refusal(why, "shed"));
    }
  }

  refusal(what: string, why: string): OverloadedError {
    const { name, onRefused } = this.#options;
    onRefused?.(why);
    return new OverloadedError(`${name}: ${what}; the call was not made`, {
      details: { name, why, active: this.#active, waiting: this.#waiting, limit: this.#limit },
    });
  }

  /** For a waiter that was aborted. */
  remove(waiter: Waiter): void {
    this.#lanes[waiter.lane]?.remove(waiter);
    this.#waiting--;
  }

  /** For a waiter whose time is up. */
  expired(): OverloadedError {
    this.#waiting--;
    return this.refusal(`waited ${this.#options.queueTimeoutMs} ms in the queue`, "queue timeout");
  }

  #admitWaiting(): void {
    for (let lane = 0; lane < this.#lanes.length && this.#waiting > 0; ) {
      if (this.#active >= this.#limit) return;
      const waiter = this.#lanes[lane]?.shift();
      if (waiter === undefined) {
        lane++;
        continue;
      }
      this.#waiting--;
      this.#active++;
      this.#options.onWaited?.(this.#options.runtime.clock.monotonic() - waiter.since);
      waiter.admit();
    }
  }

  /** Makes room for a call of `lane` by refusing the last of the least important lane below it. */
  #evictBelow(lane: number): boolean {
    for (let each = this.#lanes.length - 1; each > lane; each--) {
      const last = this.#lanes[each]?.last;
      if (last === undefined) continue;
      this.remove(last);
      last.refuse(this.refusal("a more important call needed the place in the queue", "shed"));
      return true;
    }
    return false;
  }
}

interface WaiterFields {
  readonly lane: number;
  readonly since: number;
  readonly endsAt: number;
  readonly scope: Scope | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class Waiter implements Expiring, AbortListener {
  readonly lane: number;
  readonly since: number;
  readonly endsAt: number;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  readonly #gate: Gate;
  readonly #scope: Scope | undefined;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;

  constructor(gate: Gate, { lane, since, endsAt, scope, resolve, reject }: WaiterFields) {
    this.#gate = gate;
    this.lane = lane;
    this.since = since;
    this.endsAt = endsAt;
    this.#scope = scope;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  admit(): void {
    this.#scope?.forget(this);
    this.#resolve();
  }

  refuse(error: OverloadedError): void {
    this.#scope?.forget(this);
    this.#reject(error);
  }

  expire(): void {
    this.refuse(this.#gate.expired());
  }

  onAbort(reason: unknown): void {
    this.#gate.remove(this);
    this.#reject(reason);
  }
}
