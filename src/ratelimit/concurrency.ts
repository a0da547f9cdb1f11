import {
  ClosedError,
  type Closer,
  createCloser,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  throwIfAborted,
} from "../core/index.ts";
import type { ClusterTakeOptions } from "./cluster-limiter.ts";
import { toCost, toKey, wholeNumber } from "./policy.ts";
import { queueFull, tooLong, toWaitBounds, type WaitBounds, type WaitOptions } from "./waiting.ts";

export interface LocalConcurrencyLimiterOptions extends WaitOptions {
  /** Units held at once, of one key. */
  readonly limit: number;
  /** For errors. Default "local". */
  readonly name?: string;
  /** Clock and timers. Default: the system's. */
  readonly runtime?: Pick<Runtime, "clock" | "timers">;
}

/** Something held until it is released. */
export interface Slot extends AsyncDisposable {
  /** Lets the next one in. Harmless when repeated. */
  release(): Promise<void>;
}

/** A bound of how much is under way at once, by key. */
export interface ConcurrencyLimiter extends AsyncDisposable {
  readonly name: string;
  /**
   * A slot as soon as there is one, in the order of the calls. An abort rejects with the signal's reason; nothing stays held.
   * @throws RateLimitedError it did not come within `maxWait`
   * @throws OverloadedError `maxQueue` others wait already
   * @throws ClosedError
   */
  acquire(key: string, options?: ClusterTakeOptions): Promise<Slot>;
  /** A slot if there is one now and nobody waits for it. */
  tryAcquire(key: string, options?: { readonly cost?: number }): Slot | undefined;
  /** Units held of the key, and how many wait. */
  usage(key: string): { readonly held: number; readonly waiting: number };
  /** Refuses those who wait, and all who come, with `CLOSED`. Slots that are held stay valid until released. */
  close(): Promise<void>;
}

/**
 * At most `limit` units of each key held at once, in one process. Memory only for keys in use.
 * @throws InvalidArgumentError
 */
export function createLocalConcurrencyLimiter(options: LocalConcurrencyLimiterOptions): ConcurrencyLimiter {
  refuseUnknown(options, ["limit", "name", "runtime", "maxQueue", "maxWait"]);
  wholeNumber("options.limit", options.limit, 1, 1e9);
  return new InProcessConcurrency(options);
}

interface Waiter {
  readonly cost: number;
  readonly admit: () => void;
  readonly reject: (reason: unknown) => void;
}

interface Room {
  held: number;
  /** In the order of the calls: a large one is not overtaken by small ones. */
  readonly waiters: Set<Waiter>;
}

class InProcessConcurrency implements ConcurrencyLimiter {
  readonly name: string;
  readonly #limit: number;
  readonly #bounds: WaitBounds;
  readonly #runtime: Pick<Runtime, "clock" | "timers">;
  /** Invariant: a room is here while something is held or somebody waits. */
  readonly #rooms = new Map<string, Room>();
  readonly #closer: Closer;

  constructor(options: LocalConcurrencyLimiterOptions) {
    this.name = options.name ?? "local";
    this.#limit = options.limit;
    this.#bounds = toWaitBounds(options);
    this.#runtime = options.runtime ?? systemRuntime;
    this.#closer = createCloser(async () => this.#refuseAll(), `the concurrency limiter "${this.name}"`);
  }

  async acquire(key: string, options: ClusterTakeOptions = {}): Promise<Slot> {
    const { signal } = options;
    throwIfAborted(signal);
    const slot = this.tryAcquire(key, options);
    if (slot !== undefined) return slot;
    const cost = toCost(options.cost, this.#limit);
    const room = this.#rooms.get(key) as Room;
    if (room.waiters.size >= this.#bounds.maxQueue) throw queueFull(this.name, key, this.#bounds.maxQueue);
    await this.#wait(key, room, cost, signal);
    return this.#slot(key, room, cost);
  }

  tryAcquire(key: string, options: { readonly cost?: number } = {}): Slot | undefined {
    this.#closer.assertOpen();
    const cost = toCost(options.cost, this.#limit);
    const room = this.#rooms.get(toKey(key)) ?? { held: 0, waiters: new Set() };
    if (room.waiters.size > 0 || room.held + cost > this.#limit) return undefined;
    if (cost > 0) this.#rooms.set(key, room);
    room.held += cost;
    return this.#slot(key, room, cost);
  }

  usage(key: string): { readonly held: number; readonly waiting: number } {
    const room = this.#rooms.get(key);
    return { held: room?.held ?? 0, waiting: room?.waiters.size ?? 0 };
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #slot(key: string, room: Room, cost: number): Slot {
    let held = true;
    const release = async (): Promise<void> => {
      if (!held) return;
      held = false;
      room.held -= cost;
      this.#admit(key, room);
    };
    return { release, [Symbol.asyncDispose]: release };
  }

  #admit(key: string, room: Room): void {
    for (const waiter of room.waiters) {
      if (room.held + waiter.cost > this.#limit) break;
      room.waiters.delete(waiter);
      room.held += waiter.cost;
      waiter.admit();
    }
    if (room.held === 0 && room.waiters.size === 0) this.#rooms.delete(key);
  }

  #wait(key: string, room: Room, cost: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { maxWaitMs } = this.#bounds;
    const settle = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const waiter: Waiter = {
      cost,
      admit: () => {
        settle();
        resolve();
      },
      reject: (reason) => {
        settle();
        reject(reason);
      },
    };
    const leave = (reason: unknown): void => {
      if (!room.waiters.delete(waiter)) return;
      waiter.reject(reason);
      // Somebody smaller behind may fit now.
      this.#admit(key, room);
    };
    const onAbort = (): void => leave(signal?.reason);
    const timer = this.#runtime.timers.after(maxWaitMs, () => leave(tooLong(this.name, key, maxWaitMs, maxWaitMs)));
    room.waiters.add(waiter);
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  #refuseAll(): void {
    for (const room of this.#rooms.values()) {
      for (const waiter of room.waiters)
        waiter.reject(new ClosedError(`the concurrency limiter "${this.name}" was closed while somebody waited`));
      room.waiters.clear();
    }
  }
}
