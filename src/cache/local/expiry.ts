import type { CoarseClock } from "./coarse-clock.ts";
import { grown } from "./slot-list.ts";

const never = Number.POSITIVE_INFINITY;

/** When each slot's entry expires. */
export class Expiry {
  readonly #clock: CoarseClock;
  /** The earlier of the two ends. */
  #end = new Float64Array(0);
  /** The end that reading does not put off. */
  #absolute = new Float64Array(0);
  /** How long it may go unread; `Infinity`: any time. */
  #idle = new Float64Array(0);
  #someIdle = false;
  #hand = 0;

  constructor(clock: CoarseClock, slots: number) {
    this.#clock = clock;
    this.grow(slots);
  }

  grow(slots: number): void {
    const from = this.#end.length;
    this.#end = grown(this.#end, slots).fill(never, from);
    this.#absolute = grown(this.#absolute, slots).fill(never, from);
    this.#idle = grown(this.#idle, slots).fill(never, from);
  }

  set(slot: number, ttl: number, idle: number): void {
    const now = ttl === never && idle === never ? 0 : this.#clock.read();
    this.#absolute[slot] = now + ttl;
    this.#idle[slot] = idle;
    if (idle !== never) this.#someIdle = true;
    this.#end[slot] = now + Math.min(ttl, idle);
  }

  /** The slot is empty. */
  forget(slot: number): void {
    this.#end[slot] = never;
  }

  /** Whether the entry's time is up. */
  isOver(slot: number): boolean {
    const end = this.#end[slot] as number;
    return end !== never && this.#clock.read() >= end;
  }

  /** The entry was read, before its end. */
  touch(slot: number): void {
    if (!this.#someIdle) return;
    const idle = this.#idle[slot] as number;
    if (idle === never) return;
    this.#end[slot] = Math.min(this.#absolute[slot] as number, this.#clock.read() + idle);
  }

  /** Milliseconds left, 0 or more; `Infinity` if it does not expire. */
  remaining(slot: number): number {
    const end = this.#end[slot] as number;
    return end === never ? never : Math.max(0, end - this.#clock.read());
  }

  /** Looks at that many slots in turn, of those below `used`: who calls it now and then has looked at all of them in the end. */
  sweep(count: number, used: number, onOver: (slot: number) => void): void {
    const now = this.#clock.read();
    for (let i = 0; i < count; i++) {
      this.#hand = this.#hand + 1 < used ? this.#hand + 1 : 0;
      if ((this.#end[this.#hand] as number) <= now) onOver(this.#hand);
    }
  }

  clear(): void {
    this.#end.fill(never);
    this.#absolute.fill(never);
    this.#idle.fill(never);
  }
}
