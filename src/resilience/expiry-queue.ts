import type { Runtime, Timer } from "../core/index.ts";

/** A link of the queue; who waits carries it. */
export interface Expiring {
  /** On the monotonic clock. `Infinity`: it does not expire. */
  readonly endsAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  /** The time is up; it has been taken out of the queue. */
  expire(): void;
}

/**
 * Waits that all last equally long, first in, first out, so that the first is the next to expire: joining and leaving cost a few assignments and one native timer serves
 * all. The timer is armed a turn after it is needed and disarmed a turn after it is not, so calls that end in the turn in which they began cost no timer, and an empty
 * queue does not keep the process alive. Never expires early; late by no more than the event loop's delay and the 1 ms to which Node rounds timers up.
 */
export class ExpiryQueue<E extends Expiring> {
  readonly #runtime: Pick<Runtime, "clock" | "timers">;
  #first: E | undefined;
  #last: E | undefined;
  #size = 0;
  #timer: Timer | undefined;
  #reviewing = false;

  constructor(runtime: Pick<Runtime, "clock" | "timers">) {
    this.#runtime = runtime;
  }

  get size(): number {
    return this.#size;
  }

  get first(): E | undefined {
    return this.#first;
  }

  get last(): E | undefined {
    return this.#last;
  }

  /** `entry.endsAt` must not be before that of the last. */
  push(entry: E): void {
    entry.previous = this.#last;
    entry.next = undefined;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    this.#size++;
    if (this.#timer === undefined && !this.#reviewing && entry.endsAt !== Number.POSITIVE_INFINITY) this.#reviewSoon();
  }

  shift(): E | undefined {
    const entry = this.#first;
    if (entry !== undefined) this.remove(entry);
    return entry;
  }

  /** Only for an entry that is in the queue. */
  remove(entry: E): void {
    const previous = entry.previous as E | undefined;
    const next = entry.next as E | undefined;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.#size--;
    if (this.#size === 0 && this.#timer !== undefined && !this.#reviewing) this.#reviewSoon();
  }

  #reviewSoon(): void {
    this.#reviewing = true;
    this.#runtime.timers.immediate(this.#review);
  }

  readonly #review = (): void => {
    this.#reviewing = false;
    if (this.#first === undefined) {
      this.#timer?.cancel();
      this.#timer = undefined;
    } else if (this.#timer === undefined) this.#arm();
  };

  #arm(): void {
    const first = this.#first;
    if (first === undefined || first.endsAt === Number.POSITIVE_INFINITY) return;
    const delay = Math.max(0, first.endsAt - this.#runtime.clock.monotonic());
    this.#timer = this.#runtime.timers.after(delay, this.#elapsed);
  }

  readonly #elapsed = (): void => {
    this.#timer = undefined;
    const now = this.#runtime.clock.monotonic();
    for (let first = this.#first; first !== undefined && first.endsAt <= now; first = this.#first) {
      this.remove(first);
      first.expire();
    }
    if (this.#timer === undefined) this.#arm();
  };
}
