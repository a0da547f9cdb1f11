import {
  createIds,
  fullJitter,
  type Ids,
  isAshlarError,
  LeaseLostError,
  OverloadedError,
  type Runtime,
  raceAbort,
  sleep,
  UnavailableError,
  withDeadline,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { quorumLockChannels } from "./channels.ts";
import { QuorumHold, type QuorumLock, releaseAll } from "./hold.ts";
import { type Holder, quorumKeys } from "./keys.ts";
import {
  type QuorumHoldOptions,
  type QuorumLockOptions,
  type QuorumSettings,
  toEngines,
  toName,
  toSettings,
  toTimeout,
} from "./options.ts";
import { poll } from "./poll.ts";
import { Vote } from "./vote.ts";

/**
 * Locks by name over several independent engines: held by whoever a majority of them has granted it, so the loss of a minority is survived. Without a queue: those who
 * wait try again after random pauses, and no order among them is promised.
 */
export interface QuorumLocks {
  /**
   * Waits for the lock.
   * @throws TimeoutError not granted in time, others held it; nothing is held
   * @throws UnavailableError not granted in time, and at the last attempt no majority of the engines answered; nothing is held
   * @throws OverloadedError 10,000 calls wait already
   */
  acquire(name: string, options?: QuorumHoldOptions): Promise<QuorumLock>;
  /**
   * One attempt. `undefined`: another has it, or several tried at once and none got a majority.
   * @throws UnavailableError no majority of the engines answered
   */
  tryAcquire(name: string, options?: QuorumHoldOptions): Promise<QuorumLock | undefined>;
  /**
   * Runs `fn` while the lock is held, and releases it. `fn` should stop when `lock.signal` aborts, and hand `lock.token` to what it changes.
   * @throws LeaseLostError the lock was lost before `fn` had ended
   */
  withLock<T>(name: string, fn: (lock: QuorumLock) => T | Promise<T>, options?: QuorumHoldOptions): Promise<T>;
  /** What each engine says, in the order in which they were given: who has its vote, nobody (`undefined`), or why it gave no answer. */
  inspect(name: string, options?: { readonly signal?: AbortSignal }): Promise<readonly (Holder | Error | undefined)[]>;
}

/**
 * Redlock (redis.io, "Distributed Locks with Redis") over engines that fail independently, with fencing tokens. At most one process holds a name by its own reckoning, provided that clocks
 * differ in rate by the drift at most, no engine's clock is set forward, and no engine forgets what it has acknowledged within the time to live: an engine with durability
 * `none` that restarts, or one that fails over and loses acknowledged commits, must stay away for a time to live. A process that stands still between asking `held` and
 * acting acts too late, as with every lock (M. Kleppmann, "How to do distributed locking", 2016): only the token, checked by what the lock protects, is safe then.
 * @param engines 1 to 9, an odd number, usually 3 or 5: a majority must answer. One that is there twice under two connections votes twice, which nothing here can see
 */
export function createQuorumLocks(engines: readonly Engine[], options: QuorumLockOptions = {}): QuorumLocks {
  return new EngineQuorumLocks(toEngines(engines), toSettings(options));
}

/** Calls of this object that wait at the same time, at most. */
const maxWaiting = 10_000;

type Attempt =
  | { readonly lock: QuorumHold }
  | { readonly lock?: never; readonly reason: "held" | "unavailable" | "late"; readonly errors: readonly unknown[] };

class EngineQuorumLocks implements QuorumLocks {
  readonly #engines: readonly Engine[];
  readonly #settings: QuorumSettings;
  readonly #runtime: Runtime;
  readonly #ids: Ids;
  readonly #owner: string;
  readonly #quorum: number;
  #waiting = 0;

  constructor(engines: readonly [Engine, ...Engine[]], settings: QuorumSettings) {
    this.#engines = engines;
    this.#settings = settings;
    this.#runtime = engines[0].runtime;
    this.#ids = createIds(this.#runtime);
    this.#owner = settings.owner ?? this.#ids.next();
    this.#quorum = Math.floor(engines.length / 2) + 1;
  }

  async acquire(name: string, options: QuorumHoldOptions = {}): Promise<QuorumLock> {
    const { base, cap } = { base: this.#settings.retryDelay / 10, cap: this.#settings.retryDelay };
    const checked = toName(name);
    if (this.#waiting >= maxWaiting)
      throw new OverloadedError(`quorum lock: ${maxWaiting} calls wait already`, { details: { limit: maxWaiting } });
    using scope = withDeadline(this.#runtime, {
      signal: options.signal,
      deadlineMs: toTimeout(options),
      name: `acquire quorum lock ${JSON.stringify(checked)}`,
    });
    let unavailable: UnavailableError | undefined;
    this.#waiting++;
    try {
      for (let failures = 0; ; failures++) {
        if (scope.signal.aborted) throw scope.signal.reason;
        const attempt = await this.#attempt(checked, scope.signal);
        if (attempt.lock) return attempt.lock;
        unavailable = attempt.reason === "unavailable" ? this.#unavailable(attempt.errors) : undefined;
        await sleep(this.#runtime, base / 2 + fullJitter(this.#runtime, failures, { base, cap }), {
          signal: scope.signal,
        });
      }
    } catch (error) {
      if (unavailable && !options.signal?.aborted && error === scope.signal.reason) throw unavailable;
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  async tryAcquire(name: string, options: QuorumHoldOptions = {}): Promise<QuorumLock | undefined> {
    const checked = toName(name);
    using scope = withDeadline(this.#runtime, {
      signal: options.signal,
      deadlineMs: toTimeout(options),
      name: `try quorum lock ${JSON.stringify(checked)}`,
    });
    if (scope.signal.aborted) throw scope.signal.reason;
    const attempt = await this.#attempt(checked, scope.signal);
    if (attempt.lock) return attempt.lock;
    if (attempt.reason === "unavailable") throw this.#unavailable(attempt.errors);
    return undefined;
  }

  async withLock<T>(name: string, fn: (lock: QuorumLock) => T | Promise<T>, options?: QuorumHoldOptions): Promise<T> {
    await using lock = await this.acquire(name, options);
    const result = await fn(lock);
    if (lock.held) return result;
    throw new LeaseLostError(
      "the quorum lock was lost while the function ran: what it did without handing on the token may have overlapped with another holder's work",
      { cause: lock.signal.reason, details: { name, token: lock.token } },
    );
  }

  async inspect(
    name: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly (Holder | Error | undefined)[]> {
    const prefix = quorumKeys.votes(toName(name));
    const asked = await Promise.allSettled(
      this.#engines.map(async (engine) => {
        using scope = withDeadline(this.#runtime, {
          signal: options.signal,
          deadlineMs: this.#settings.engineTimeout,
          name: "inspect a quorum lock",
        });
        const reading = Array.fromAsync(engine.kv.list<Holder>({ prefix }, { limit: 1, signal: scope.signal }));
        return (await raceAbort(reading, scope.signal))[0]?.value;
      }),
    );
    if (options.signal?.aborted) throw options.signal.reason;
    return asked.map((each) => (each.status === "fulfilled" ? each.value : (each.reason as Error)));
  }

  /**
   * Asks every engine for its vote; then raises the counters of those that gave it to the greatest among them, which is the token. The lock is held once a majority has
   * both given its vote and a counter at the token or above. (Usually the counters agree, and the second step asks nobody.)
   *
   * Tokens ascend: the majorities of two holders A and B share an engine. There, the entries of A and B stood one after the other, say A's first, and each brought the counter to
   * its token while its own entry stood (the raise is refused otherwise). B's entry came with an increment, after A's, so B's counter there, and with it B's token, is
   * above A's token. And B was held later: A's entry outlasts the validity that A reckons with, so when it ended A had either been held before, or would
   * never be by that attempt. This takes that no engine forgets its counter. It does not take that clocks are right: when they are not, two may believe to hold at
   * a time, but never with the same token, and what the lock protects can refuse the older one.
   */
  async #attempt(name: string, signal: AbortSignal): Promise<Attempt> {
    const { ttl, engineTimeout: timeout, drift } = this.#settings;
    const { clock } = this.#runtime;
    const sentAt = clock.monotonic();
    const id = this.#ids.next();
    const holder: Holder = { owner: this.#owner, since: clock.now() };
    const votes = this.#engines.map((engine) => new Vote(engine, { name, id, holder, ttl, timeout }));
    let lock: QuorumHold | undefined;
    try {
      const decided = await raceAbort(this.#decide(votes), signal);
      const late = clock.monotonic() >= sentAt + ttl - drift;
      if ("token" in decided && !late) {
        const { token } = decided;
        const { quorum, owner, runtime, settings } = {
          quorum: this.#quorum,
          owner: this.#owner,
          runtime: this.#runtime,
          settings: this.#settings,
        };
        lock = new QuorumHold({ runtime, settings, votes, quorum, name, owner, token, sentAt });
        this.#announce(lock, clock.monotonic() - sentAt);
        return { lock };
      }
      const errors = "errors" in decided ? decided.errors : [];
      const reason = late ? "late" : errors.length > this.#engines.length - this.#quorum ? "unavailable" : "held";
      const { refused } = quorumLockChannels;
      if (refused.hasSubscribers)
        refused.publish({ name, owner: this.#owner, reason, tookMs: clock.monotonic() - sentAt });
      return { reason, errors };
    } finally {
      if (!lock) void releaseAll(votes, this.#quorum);
    }
  }

  async #decide(votes: readonly Vote[]): Promise<{ readonly token: number } | { readonly errors: readonly unknown[] }> {
    let token = 0;
    const counters = votes.map((vote) => vote.take());
    const granted = await poll(
      counters.map(async (taking) => {
        const counter = await taking;
        token = Math.max(token, counter ?? 0);
        return counter !== undefined;
      }),
      this.#quorum,
    );
    if (!granted.carried) return { errors: granted.errors };
    const final = token;
    const raised = await poll(
      votes.map(async (vote, i) => {
        const counter = await counters[i];
        return counter !== undefined && (counter >= final || (await vote.raise(final)));
      }),
      this.#quorum,
    );
    return raised.carried ? { token: final } : { errors: raised.errors };
  }

  #announce({ name, token }: QuorumLock, tookMs: number): void {
    const { acquired } = quorumLockChannels;
    if (acquired.hasSubscribers) acquired.publish({ name, owner: this.#owner, token, tookMs });
  }

  #unavailable(errors: readonly unknown[]): UnavailableError {
    // A mistake that all engines refuse alike is no failure of theirs.
    const mistake = errors.find(
      (error) => isAshlarError(error) && (error.code === "INVALID_ARGUMENT" || error.code === "LIMIT"),
    );
    if (mistake) throw mistake;
    return new UnavailableError(
      `quorum lock: ${errors.length} of ${this.#engines.length} engines gave no answer, and a majority of ${this.#quorum} is needed`,
      { cause: new AggregateError(errors), details: { failed: errors.length, engines: this.#engines.length } },
    );
  }
}
