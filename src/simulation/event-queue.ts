import type { Label } from "./trace.ts";

/** Something that will happen at an instant of virtual time. */
export interface ScheduledEvent {
  /** Milliseconds since the beginning of the simulation. */
  readonly at: number;
  /** Breaks ties: the order of scheduling. */
  readonly order: number;
  readonly label: Label;
  /** Whose event it is; it does not happen if its owner has died, and waits while its owner is paused. */
  readonly owner: EventOwner;
  readonly run: () => void;
  cancelled: boolean;
}

/** What an event's life depends on. */
export interface EventOwner {
  readonly name: string;
  readonly alive: boolean;
  /** Events of a paused owner are given to it instead of run. */
  readonly paused: boolean;
  defer(event: ScheduledEvent): void;
  /** Runs the event's function as this owner. */
  enter(run: () => void): void;
  /** The function threw. */
  failed(error: unknown): void;
}

/** A binary heap by time, then by order. */
export class EventQueue {
  readonly #heap: ScheduledEvent[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as ScheduledEvent;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right && isBefore(right, heap[child] as ScheduledEvent)) child++;
      const below = heap[child] as ScheduledEvent;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
