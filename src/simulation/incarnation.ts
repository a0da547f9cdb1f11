import { invalidArgument, type Runtime, type Timer } from "../core/index.ts";
import type { Dice } from "./dice.ts";
import type { EventLoop } from "./event-loop.ts";
import type { EventOwner, ScheduledEvent } from "./event-queue.ts";
import type { LocalClock } from "./local-clock.ts";
import type { Label, Trace } from "./trace.ts";

/** What an incarnation is made of. */
export interface IncarnationParts {
  readonly name: string;
  readonly loop: EventLoop;
  readonly trace: Trace;
  readonly clock: LocalClock;
  /** The chance that the program itself draws from. */
  readonly dice: Dice;
  /** Whether code takes a rare path. */
  readonly maybe: (label: string) => boolean;
  /** Runs code so that patched globals know whose it is. */
  readonly enter: (incarnation: Incarnation, run: () => void) => void;
  /** The program threw where nobody catches. */
  readonly onError: (incarnation: Incarnation, error: unknown) => void;
}

/**
 * One life of a process. When it dies, everything that it waits for never comes: its timers are gone, and what the world owes it is not
 * delivered. So its functions stop where they are, as those of a killed process do.
 */
export class Incarnation implements EventOwner {
  readonly name: string;
  readonly runtime: Runtime;
  readonly #parts: IncarnationParts;
  readonly #labels: { readonly timer: Label; readonly immediate: Label; readonly random: Label };
  readonly #onDeath = new Set<() => void>();
  readonly #deferred: ScheduledEvent[] = [];
  #alive = true;
  #paused = false;
  /** When the last immediate runs: the next one comes after it. */
  #immediates = 0;

  constructor(parts: IncarnationParts) {
    this.#parts = parts;
    this.name = parts.name;
    const { trace, name } = parts;
    this.#labels = {
      timer: trace.label(`${name} timer`),
      immediate: trace.label(`${name} immediate`),
      random: trace.label(`${name} random`),
    };
    this.runtime = this.#createRuntime();
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Milliseconds since the beginning, on no machine's clock. */
  get trueNow(): number {
    return this.#parts.loop.now;
  }

  /** Runs `fn` in `ms` true milliseconds as this incarnation, if it then lives. */
  schedule(ms: number, label: Label, fn: () => void): ScheduledEvent {
    return this.#parts.loop.schedule(this, ms, label, fn);
  }

  /** Calls `fn` when this incarnation dies, to release what the world holds for it. Returns a function that takes it back. */
  onDeath(fn: () => void): () => void {
    this.#onDeath.add(fn);
    return () => void this.#onDeath.delete(fn);
  }

  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#deferred.length = 0;
    for (const fn of this.#onDeath) fn();
    this.#onDeath.clear();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#parts.loop.resume(this.#deferred.splice(0));
  }

  defer(event: ScheduledEvent): void {
    this.#deferred.push(event);
  }

  enter(run: () => void): void {
    this.#parts.enter(this, run);
  }

  failed(error: unknown): void {
    this.#parts.onError(this, error);
  }

  #createRuntime(): Runtime {
    const { clock, dice, maybe, trace } = this.#parts;
    const next = (): number => {
      const drawn = dice.next();
      trace.note(this.#labels.random, drawn);
      return drawn;
    };
    return {
      clock: { now: () => clock.now(), monotonic: () => clock.monotonic() },
      random: { next, bytes: (n) => Uint8Array.from({ length: n }, () => Math.floor(next() * 256)) },
      timers: { after: (ms, fn) => this.#after(ms, fn), immediate: (fn) => this.#immediate(fn) },
      maybe,
    };
  }

  #after(ms: number, fn: () => void): Timer {
    if (!(ms >= 0)) throw invalidArgument("ms", ms, "a number of milliseconds, 0 or more");
    if (ms === 0) return this.#immediate(fn);
    return new SimulatedTimer(this.schedule(ms / this.#parts.clock.rate, this.#labels.timer, fn));
  }

  /** Work takes time, so who waits for a moment by spinning gets there. Immediates run in their order, others in between. */
  #immediate(fn: () => void): Timer {
    const { loop, dice } = this.#parts;
    this.#immediates = Math.max(this.#immediates, loop.now) + dice.between(0.001, 0.02);
    return new SimulatedTimer(this.schedule(this.#immediates - loop.now, this.#labels.immediate, fn));
  }
}

class SimulatedTimer implements Timer {
  readonly #event: ScheduledEvent;

  constructor(event: ScheduledEvent) {
    this.#event = event;
  }

  cancel(): void {
    this.#event.cancelled = true;
  }
}
