import { type EventOwner, EventQueue, type ScheduledEvent } from "./event-queue.ts";
import { realWorld } from "./real-world.ts";
import type { Label, Trace } from "./trace.ts";

export interface EventLoopOptions {
  /** Events at most, after which `onLimit` is called instead of each further one. */
  readonly limit: number;
  readonly onLimit: () => void;
  /** Nothing is left to happen: it may schedule something, or stop. */
  readonly onIdle: () => void;
  /** Returns false while something real is under way that virtual time must wait for. */
  readonly gate?: (() => boolean) | undefined;
}

/**
 * Virtual time: runs events in the order of their instants and lets everything that an event set going by promises, `nextTick`
 * or `queueMicrotask` come to rest before the next one.
 *
 * Node does the latter by itself after each callback of `setImmediate`. So each event runs in an immediate of its own,
 * and a batch of them is queued at once: one turn of the real loop serves a whole batch.
 */
export class EventLoop {
  readonly #queue = new EventQueue();
  readonly #trace: Trace;
  readonly #options: EventLoopOptions;
  #now = 0;
  #order = 0;
  #executed = 0;
  #stopped = false;
  #current: EventOwner | undefined;

  constructor(trace: Trace, options: EventLoopOptions) {
    this.#trace = trace;
    this.#options = options;
  }

  /** Milliseconds since the beginning of the simulation. */
  get now(): number {
    return this.#now;
  }

  /** Events that have run. */
  get executed(): number {
    return this.#executed;
  }

  /** Whose event is running, or was the last to run: who has caused what is happening now. */
  get current(): EventOwner | undefined {
    return this.#current;
  }

  schedule(owner: EventOwner, delay: number, label: Label, run: () => void): ScheduledEvent {
    const event = { at: this.#now + delay, order: this.#order++, label, owner, run, cancelled: false };
    this.#queue.push(event);
    return event;
  }

  /** Puts back what a paused owner was given, to run now in the order in which it was due. */
  resume(events: readonly ScheduledEvent[]): void {
    for (const event of events) {
      if (event.cancelled) continue;
      this.#queue.push({ ...event, at: this.#now, order: this.#order++, run: () => event.cancelled || event.run() });
    }
  }

  /** Resolves once `stop` was called. */
  run(): Promise<void> {
    return new Promise((resolve) => {
      let resolved = false;
      const step = (): void => {
        if (!this.#stopped) this.#step();
        else if (!resolved) {
          resolved = true;
          resolve();
        }
      };
      const batch = (): void => {
        if (resolved) return;
        for (let i = 0; i < batchSize; i++) realWorld.setImmediate(step);
        realWorld.setImmediate(batch);
      };
      batch();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #step(): void {
    const { gate, limit, onIdle, onLimit } = this.#options;
    if (gate && !gate()) return;
    if (this.#executed >= limit) {
      onLimit();
      return;
    }
    for (;;) {
      const event = this.#queue.pop();
      if (event === undefined) {
        onIdle();
        return;
      }
      const { owner } = event;
      if (event.cancelled || !owner.alive) continue;
      if (owner.paused) {
        owner.defer(event);
        continue;
      }
      this.#run(event);
      return;
    }
  }

  #run(event: ScheduledEvent): void {
    const { owner, label } = event;
    this.#now = event.at;
    this.#executed++;
    this.#current = owner;
    this.#trace.note(label, event.at);
    try {
      owner.enter(event.run);
    } catch (error) {
      owner.failed(error);
    }
  }
}

/** Enough that the real loop's own work does not show, few enough that it is not starved. */
const batchSize = 64;
