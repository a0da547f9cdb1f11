import {
  ClosedError,
  type Closer,
  createCloser,
  type Duration,
  OverloadedError,
  type Runtime,
  systemRuntime,
  type Timer,
  throwIfAborted,
} from "../core/index.ts";
import type { ClusterTakeOptions } from "./cluster-limiter.ts";
import { toCost, toKey, wholeNumber } from "./policy.ts";
import { queueFull, toEvenRate, tooLong, toWaitBounds, type WaitBounds, type WaitOptions } from "./waiting.ts";

export interface LeakyBucketOptions extends WaitOptions {
  /** Units of cost that may pass in each `per`, evenly spaced. */
  readonly limit: number;
  /** The time for `limit`: at least 1 ms, and at least 1 µs for each unit. */
  readonly per: Duration;
}

export interface LocalLeakyBucketOptions extends LeakyBucketOptions {
  /** Keys in use at once; at the bound a new key is refused with `OverloadedError`. Default 100,000. */
  readonly maxKeys?: number;
  /** For errors. Default "local". */
  readonly name?: string;
  /** Clock and timers. Default: the system's. */
  readonly runtime?: Pick<Runtime, "clock" | "timers">;
}

/** Shaping: takes wait for their turn, so that they pass at an even rate. */
export interface LeakyBucket extends AsyncDisposable {
  readonly name: string;
  /**
   * Resolves when it is this take's turn, in the order of the calls; with the milliseconds that it waited. A take of cost n keeps the next one waiting for n turns.
   * An abort rejects with the signal's reason and gives the turn back where possible.
   * @throws RateLimitedError the wait would be longer than `maxWait`; `details.retryAfterMs`
   * @throws OverloadedError `maxQueue` takes of this key wait already
   * @throws ClosedError
   */
  take(key: string, options?: ClusterTakeOptions): Promise<number>;
  /** Refuses those who wait, and all who come, with `CLOSED`. */
  close(): Promise<void>;
}

/**
 * A leaky bucket as a queue (J. Turner, 1986), of one process.
 * @throws InvalidArgumentError
 */
export function createLocalLeakyBucket(options: LocalLeakyBucketOptions): LeakyBucket {
  const policy = toEvenRate(options, ["maxKeys", "name", "runtime"]);
  const { limit, maxKeys = 100_000, name = "local", runtime = systemRuntime } = options;
  wholeNumber("options.maxKeys", maxKeys, 1, 10_000_000);
  return new InProcessLeakyBucket({
    name,
    limit,
    intervalMs: policy.perMs / limit,
    maxKeys,
    runtime,
    bounds: toWaitBounds(options),
  });
}

interface Waiter {
  readonly cost: number;
  readonly since: number;
  readonly resolve: (waitedMs: number) => void;
  readonly reject: (reason: unknown) => void;
}

interface Line {
  /** In the order of the calls. */
  readonly waiters: Set<Waiter>;
  /** Sum of the waiters' costs. */
  waitingCost: number;
  /** When the next take may pass. */
  freeAt: number;
  timer: Timer | undefined;
}

interface Settings {
  readonly name: string;
  readonly limit: number;
  readonly intervalMs: number;
  readonly maxKeys: number;
  readonly runtime: Pick<Runtime, "clock" | "timers">;
  readonly bounds: WaitBounds;
}

class InProcessLeakyBucket implements LeakyBucket {
  readonly name: string;
  readonly #settings: Settings;
  readonly #lines = new Map<string, Line>();
  readonly #closer: Closer;

  constructor(settings: Settings) {
    this.name = settings.name;
    this.#settings = settings;
    this.#closer = createCloser(async () => this.#refuseAll(), `the leaky bucket "${settings.name}"`);
  }

  async take(key: string, options: ClusterTakeOptions = {}): Promise<number> {
    this.#closer.assertOpen();
    const { signal } = options;
    const cost = toCost(options.cost, this.#settings.limit);
    throwIfAborted(signal);
    const now = this.#settings.runtime.clock.monotonic();
    const line = this.#line(toKey(key), now);
    if (line.waiters.size === 0 && line.freeAt <= now) {
      line.freeAt = now + cost * this.#settings.intervalMs;
      return 0;
    }
    this.#assertRoom(line, key, now);
    return this.#wait(line, cost, now, signal);
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #line(key: string, now: number): Line {
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const { maxKeys, name } = this.#settings;
    if (this.#lines.size >= maxKeys) {
      for (const [other, { waiters, freeAt }] of this.#lines) {
        if (waiters.size === 0 && freeAt <= now) this.#lines.delete(other);
      }
      if (this.#lines.size >= maxKeys)
        throw new OverloadedError(`"${name}": ${maxKeys} keys are in use, the most allowed`, { details: { maxKeys } });
    }
    const line: Line = { waiters: new Set(), waitingCost: 0, freeAt: now, timer: undefined };
    this.#lines.set(key, line);
    return line;
  }

  #assertRoom(line: Line, key: string, now: number): void {
    const { bounds, intervalMs, name } = this.#settings;
    if (line.waiters.size >= bounds.maxQueue) throw queueFull(name, key, bounds.maxQueue);
    const waitMs = Math.max(0, line.freeAt - now) + line.waitingCost * intervalMs;
    if (waitMs > bounds.maxWaitMs) throw tooLong(name, key, waitMs, bounds.maxWaitMs);
  }

  #wait(line: Line, cost: number, since: number, signal: AbortSignal | undefined): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const onAbort = (): void => {
      if (!line.waiters.delete(waiter)) return;
      // Those behind move up.
      line.waitingCost -= cost;
      reject(signal?.reason);
    };
    const settled = (): void => signal?.removeEventListener("abort", onAbort);
    const waiter: Waiter = {
      cost,
      since,
      resolve: (waitedMs) => {
        settled();
        resolve(waitedMs);
      },
      reject: (reason) => {
        settled();
        reject(reason);
      },
    };
    line.waiters.add(waiter);
    line.waitingCost += cost;
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#schedule(line);
    return promise;
  }

  #schedule(line: Line): void {
    if (line.timer !== undefined || line.waiters.size === 0) return;
    const { clock, timers } = this.#settings.runtime;
    line.timer = timers.after(Math.max(0, line.freeAt - clock.monotonic()), () => {
      line.timer = undefined;
      this.#pass(line);
    });
  }

  #pass(line: Line): void {
    const { runtime, intervalMs } = this.#settings;
    const now = runtime.clock.monotonic();
    for (const waiter of line.waiters) {
      if (line.freeAt > now) break;
      line.waiters.delete(waiter);
      line.waitingCost -= waiter.cost;
      // From when it was due, not from when the timer ran: a late timer does not lower the rate for good. But no more than one turn is made up for.
      line.freeAt = Math.max(line.freeAt, now - intervalMs) + waiter.cost * intervalMs;
      waiter.resolve(now - waiter.since);
    }
    this.#schedule(line);
  }

  #refuseAll(): void {
    for (const line of this.#lines.values()) {
      line.timer?.cancel();
      for (const waiter of line.waiters)
        waiter.reject(new ClosedError(`the leaky bucket "${this.name}" was closed while the take waited`));
      line.waiters.clear();
    }
    this.#lines.clear();
  }
}
