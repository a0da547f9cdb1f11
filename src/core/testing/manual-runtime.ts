import { type Runtime, systemRuntime, type Timer } from "../runtime.ts";

export interface ManualRuntime extends Runtime {
  /** Moves both clocks on by `ms` and runs what falls due, in order of time, with a turn for promises after each. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock alone, as an operator would. */
  setWallClock(ms: number): void;
  /** Timers that wait. */
  readonly pending: number;
}

/** A runtime for tests: time stands still unless moved, and chance repeats itself. */
export function createManualRuntime(start = 1_700_000_000_000): ManualRuntime {
  let elapsed = 0;
  let wallClockOffset = start;
  let order = 0;
  let state = 1;
  const timers = new Set<{ at: number; order: number; fn: () => void }>();

  function schedule(ms: number, fn: () => void): Timer {
    const timer = { at: elapsed + ms, order: order++, fn };
    timers.add(timer);
    return { cancel: () => void timers.delete(timer) };
  }

  /** Mulberry32 (T. Ettinger). */
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  async function advance(ms: number): Promise<void> {
    const until = elapsed + ms;
    // What was begun and has not come to its first timer yet.
    await settle();
    for (;;) {
      const due = [...timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      timers.delete(due);
      elapsed = Math.max(elapsed, due.at);
      due.fn();
      await settle();
    }
    elapsed = until;
    await settle();
  }

  return {
    clock: { now: () => wallClockOffset + elapsed, monotonic: () => elapsed },
    random: { next, bytes: (n) => Uint8Array.from({ length: n }, () => next() * 256) },
    timers: { after: (ms, fn) => schedule(ms, fn), immediate: (fn) => schedule(0, fn) },
    maybe: () => false,
    advance,
    setWallClock: (ms) => {
      wallClockOffset = ms - elapsed;
    },
    get pending() {
      return timers.size;
    },
  };
}

/** Lets promises that are ready run. */
function settle(): Promise<void> {
  return new Promise((resolve) => void systemRuntime.timers.immediate(resolve));
}
