import { raceAbort, throwIfAborted } from "../core/index.ts";

/** Work that several callers wait for. */
export interface Flight {
  /** Aborted when the last caller has gone. */
  readonly signal: AbortSignal;
  /** Whether what it fetches may still be kept: false once the key was written or dropped meanwhile. */
  readonly current: boolean;
  /** From now on nobody joins: callers who come later must not get what this work has found out by now. */
  seal(): void;
}

interface Running<T> {
  readonly controller: AbortController;
  readonly flight: Flight & { current: boolean };
  promise: Promise<T>;
  callers: number;
}

/** Single flight: callers who ask for the same key at the same time share one piece of work. */
export class Flights<K, T> {
  /** Those that may be joined. */
  readonly #running = new Map<K, Running<T>>();
  readonly #all = new Set<Running<T>>();

  get size(): number {
    return this.#running.size;
  }

  has(key: K): boolean {
    return this.#running.has(key);
  }

  /**
   * Starts the work, or joins it. Each caller leaves with its own signal's reason; when the last one has left, the work's signal aborts, and
   * the next caller starts anew.
   */
  async run(key: K, work: (flight: Flight) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    throwIfAborted(signal);
    const running = this.#running.get(key) ?? this.#start(key, work);
    running.callers++;
    const onAbort = (): void => {
      if (--running.callers > 0) return;
      this.#leave(key, running.flight);
      running.flight.current = false;
      running.controller.abort(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await raceAbort(running.promise, signal);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** What is under way for the key is no longer current; callers who come now start anew. Those who wait still get its result. */
  detach(key: K): void {
    const running = this.#running.get(key);
    if (running === undefined) return;
    running.flight.current = false;
    this.#running.delete(key);
  }

  detachAll(): void {
    for (const key of [...this.#running.keys()]) this.detach(key);
  }

  /** Aborts everything with this reason, and resolves when all work has come to its end. */
  async abortAll(reason: unknown): Promise<void> {
    const all = [...this.#all];
    for (const { controller, flight } of all) {
      flight.current = false;
      controller.abort(reason);
    }
    await Promise.allSettled(all.map(({ promise }) => promise));
  }

  #start(key: K, work: (flight: Flight) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const flight = {
      signal: controller.signal,
      current: true,
      seal: (): void => this.#leave(key, flight),
    };
    const promise = new Promise<T>((resolve) => resolve(work(flight)));
    const running: Running<T> = { controller, flight, promise, callers: 0 };
    this.#running.set(key, running);
    this.#all.add(running);
    const end = (): void => {
      this.#leave(key, flight);
      this.#all.delete(running);
    };
    promise.then(end, end);
    return running;
  }

  #leave(key: K, flight: Flight): void {
    if (this.#running.get(key)?.flight === flight) this.#running.delete(key);
  }
}
