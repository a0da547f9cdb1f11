import { type Clock, systemRuntime } from "../../core/index.ts";
import { isBusy } from "./faults.ts";

/** How long after a commit of another process it is still reckoned with, in milliseconds. */
const rivalMs = 10_000;
/** How long a writer that has rivals may take the lock again and again before it leaves it free for once. */
const turnMs = 20;
/** How long it then leaves it free: longer than a rival naps. */
const pauseMs = 0.6;
const shortestNapMs = 0.05;
const longestNapMs = 0.4;

/**
 * Getting the write lock of SQLite, which knows no queue: who finds it taken has to come again. SQLite's own way of waiting sleeps up to
 * 100 ms at a time, so that a process which commits all the time starves the others. Here those who wait nap shortly, and those who
 * have rivals step back now and then: with two processes at full load nobody waits much longer than a turn.
 */
export class LockSharing {
  readonly #busyMs: number;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #nap: (ms: number) => void;
  /** When another process was last seen to have written. */
  #rivalAt = Number.NEGATIVE_INFINITY;
  #releasedAt = Number.NEGATIVE_INFINITY;
  /** When the lock was last left free for a while. */
  #freeAt = Number.NEGATIVE_INFINITY;

  /**
   * @param busyMs how long to try
   * @param world a clock and a way to wait without giving the thread to anyone; tests bring their own
   */
  constructor(busyMs: number, world: World = { clock: systemRuntime.clock, nap: sleepThread }) {
    this.#busyMs = busyMs;
    this.#clock = world.clock;
    this.#nap = world.nap;
  }

  /** Runs `attempt` until it finds the lock free. Throws its error when the time is over, and any other at once. */
  acquire(attempt: () => void): void {
    const start = this.#clock.monotonic();
    this.#stepBack(start);
    for (;;) {
      try {
        attempt();
        return;
      } catch (error) {
        if (!isBusy(error) || this.#clock.monotonic() - start >= this.#busyMs) throw error;
      }
      this.#nap(shortestNapMs + (longestNapMs - shortestNapMs) * systemRuntime.random.next());
    }
  }

  /** To be called after each transaction that had the lock. */
  released(rivalSeen: boolean): void {
    this.#releasedAt = this.#clock.monotonic();
    if (rivalSeen) this.#rivalAt = this.#releasedAt;
  }

  #stepBack(now: number): void {
    const wasFree = now - this.#releasedAt > pauseMs;
    if (!wasFree && (now - this.#rivalAt > rivalMs || now - this.#freeAt < turnMs)) return;
    this.#freeAt = now;
    if (!wasFree) this.#nap(pauseMs);
  }
}

interface World {
  readonly clock: Pick<Clock, "monotonic">;
  readonly nap: (ms: number) => void;
}

/** The writer's thread has nothing else to do. */
function sleepThread(ms: number): void {
  Atomics.wait(neverWoken, 0, 0, ms);
}

const neverWoken = new Int32Array(new SharedArrayBuffer(4));
